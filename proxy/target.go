package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-api-gateway-pro/gateway/proxy/breaker"
)

type targetKey struct {
	tls    bool
	host   string
	port   uint16
	secure TLSConfig // zero without tls
}

func (k targetKey) String() string {
	return k.scheme() + net.JoinHostPort(k.host, strconv.Itoa(int(k.port)))
}

// scheme is empty for http.
func (k targetKey) scheme() string {
	if k.tls {
		return "https://"
	}
	return ""
}

// retryLookup keeps a name that does not resolve from being looked up for every
// single request.
const retryLookup = 500 * time.Millisecond

// target is one upstream name and its endpoints.
type target struct {
	b       *Backends
	key     targetKey
	name    string
	metrics *targetMetrics
	// secure is nil without TLS; insecure says why there is none where it is due.
	secure   *tls.Config
	insecure error
	// list holds the endpoints to choose from; it is replaced, never changed.
	list   atomic.Pointer[[]*endpoint]
	budget *budget      // of retries
	wait   atomic.Int64 // for a connection, in nanoseconds

	mu         sync.Mutex
	settings   settings
	stopChecks context.CancelFunc       // nil: no health checks
	known      map[netip.Addr]*endpoint // list and those that left it lately
	flight     chan struct{}            // closed when the lookup under way ends
	failed     error                    // of the last lookup
	failedAt   time.Time
	forgotten  bool
}

func newTarget(b *Backends, key targetKey, c *breaker.Config) *target {
	t := &target{
		b: b, key: key, name: key.String(),
		metrics:  b.metrics.target(key.String()),
		known:    make(map[netip.Addr]*endpoint),
		budget:   newBudget(b.options.Now()),
		settings: defaultSettings(),
	}
	if c != nil {
		t.settings.breaker = *c
	}
	t.wait.Store(int64(time.Duration(t.settings.connections.WaitMS) * time.Millisecond))
	if key.tls {
		t.secure, t.insecure = key.secure.client(b.options.TLS, key.host, t.certificateChanged)
		if t.insecure != nil {
			b.options.Log.Error().Err(t.insecure).Str("upstream", t.name).Msg("cannot speak TLS to the upstream")
		}
	}
	t.list.Store(&[]*endpoint{})
	if ip, err := netip.ParseAddr(key.host); err == nil {
		t.updateLocked([]netip.Addr{ip})
	}
	return t
}

func (t *target) certificateChanged(err error) {
	if err != nil {
		t.b.options.Log.Error().Err(err).Str("upstream", t.name).Msg("new client certificate refused, the old one goes on")
		return
	}
	t.b.options.Log.Info().Str("upstream", t.name).Msg("new client certificate in use")
}

// refresh starts a lookup unless one is under way or the host is an address.
func (t *target) refresh() {
	if _, err := netip.ParseAddr(t.key.host); err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refreshLocked()
}

// firstLookup is refresh for those who have no address. The channel closes when
// the lookup has ended; it is nil if there is none, as when the lookup that the
// caller saw no result of has just ended.
func (t *target) firstLookup() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(*t.list.Load()) > 0 {
		return nil
	}
	return t.refreshLocked()
}

func (t *target) refreshLocked() <-chan struct{} {
	if t.flight != nil {
		return t.flight
	}
	done := make(chan struct{})
	if !t.b.spawn(func() { t.lookup(done) }) {
		return nil
	}
	t.flight = done
	return done
}

func (t *target) lookup(done chan struct{}) {
	t.b.slots <- struct{}{}
	ctx, cancel := context.WithTimeout(t.b.ctx, resolveTimeout)
	ips, err := t.b.options.Resolve(ctx, t.key.host)
	cancel()
	<-t.b.slots
	if err == nil && len(ips) == 0 {
		err = errors.New("empty answer")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flight = nil
	defer close(done)
	switch {
	case t.forgotten:
	case err != nil:
		t.failLocked(err)
	default:
		t.failed = nil
		t.updateLocked(oneFamily(ips))
	}
}

func (t *target) failLocked(err error) {
	if t.failed == nil && t.b.ctx.Err() == nil {
		t.b.options.Log.Warn().Err(err).Str("upstream", t.name).Int("kept", len(*t.list.Load())).
			Msg("cannot resolve upstream, its last addresses stay in use")
	}
	t.failed, t.failedAt = err, time.Now()
}

// oneFamily returns the IPv4 addresses if there are any, else all. Both
// families of a name lead to the same hosts, but often only one is listened on.
func oneFamily(ips []netip.Addr) []netip.Addr {
	var all, v4 []netip.Addr
	for _, ip := range ips {
		ip = ip.Unmap()
		all = append(all, ip)
		if ip.Is4() {
			v4 = append(v4, ip)
		}
	}
	if len(v4) > 0 {
		return v4
	}
	return all
}

// updateLocked makes ips the endpoints. Known ones keep their state.
func (t *target) updateLocked(ips []netip.Addr) {
	slices.SortFunc(ips, netip.Addr.Compare)
	ips = slices.Compact(ips)
	now := time.Now()
	list := make([]*endpoint, 0, len(ips))
	for _, ip := range ips {
		e := t.known[ip]
		if e == nil {
			e = newEndpoint(t, ip)
			t.known[ip] = e
		}
		e.listed = now
		list = append(list, e)
	}
	if old := *t.list.Load(); !slices.Equal(old, list) {
		t.list.Store(&list)
		t.b.options.Log.Info().Str("upstream", t.name).Int("was", len(old)).Int("endpoints", len(list)).
			Msg("upstream addresses changed")
	}
	for ip, e := range t.known {
		if now.Sub(e.listed) > keepGone {
			delete(t.known, ip)
			e.forget()
		}
	}
}

// await waits until an address is known: for a lookup, all callers for the same
// one, until the deadline or the end of ctx.
func (t *target) await(ctx context.Context, deadline time.Time) error {
	if len(*t.list.Load()) > 0 {
		return nil
	}
	if err := t.recentFailure(); err != nil {
		return t.unresolved(err)
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	if done := t.firstLookup(); done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return t.unresolved(ctx.Err())
		case <-timer.C:
			return t.unresolved(context.DeadlineExceeded)
		}
	}
	if len(*t.list.Load()) > 0 {
		return nil
	}
	return t.unresolved(t.recentFailure())
}

func (t *target) recentFailure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.failedAt) < retryLookup {
		return t.failed
	}
	return nil
}

func (t *target) unresolved(cause error) error {
	if cause == nil {
		return fmt.Errorf("cannot resolve %s: %w", t.key.host, ErrNoBackend)
	}
	return fmt.Errorf("cannot resolve %s: %w: %w", t.key.host, ErrNoBackend, cause)
}

func (t *target) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgotten = true
	t.stopChecksLocked()
	for _, e := range t.known {
		e.forget()
	}
	t.b.metrics.forgetTarget(t.name)
}
