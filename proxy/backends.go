package proxy

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-api-gateway-pro/gateway/proxy/breaker"
)

const (
	resolveInterval = 5 * time.Second
	resolveTimeout  = 2 * time.Second
	resolveAtOnce   = 16
	// keepGone is how long the state of an address that left the name's answer
	// is kept: some servers answer with a changing part of all addresses.
	keepGone = time.Minute
	// dialTimeout leaves room for one lost SYN, which is sent again after a second.
	dialTimeout = 2 * time.Second
)

// Options are what [Backends] needs of the outside. All fields are optional.
type Options struct {
	Log        zerolog.Logger
	Registerer prometheus.Registerer
	// Self is this node's name, Members lists the live ones, it among them. They
	// are for the breakers, which without them are this node's own. Members must
	// not call back.
	Self    string
	Members func() []string
	// Now is the clock of the breakers. Deadlines of connections always follow
	// the real one.
	Now func() time.Time
	// Rand draws from [0, 1) for the jitter of retries and health checks and for
	// the choice of endpoints.
	Rand func() float64
	// Tracer makes one client span per try if the context's span is recording.
	Tracer trace.Tracer
	// Resolve returns the addresses of a name.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial opens a connection to an ip:port.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS is the base of the settings for https upstreams, for example with
	// roots of one's own; the server name is set per upstream.
	TLS *tls.Config
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Resolve == nil {
		o.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext
	}
	if o.TLS == nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return o
}

// Backends owns what outlives a configuration: the addresses, connections and
// breakers of all upstreams. All methods are safe for concurrent use.
type Backends struct {
	options Options

	tunnels  *tunnels
	metrics  *metrics
	breakers *breaker.Group
	ctx      context.Context
	cancel   context.CancelFunc
	slots    chan struct{} // bounds the lookups under way
	checks   chan struct{} // bounds the health checks under way

	mu      sync.Mutex
	targets map[targetKey]*target
	closed  bool
	wg      sync.WaitGroup
}

// NewBackends starts the background resolver; [Backends.Close] stops it.
func NewBackends(o Options) *Backends {
	o = o.withDefaults()
	b := &Backends{
		options:  o,
		breakers: breaker.NewGroup(breaker.Options{Self: o.Self, Now: o.Now, Members: o.Members}),
		slots:    make(chan struct{}, resolveAtOnce),
		checks:   make(chan struct{}, checkAtOnce),
		targets:  make(map[targetKey]*target),
		tunnels:  newTunnels(o.Registerer),
	}
	b.metrics = newMetrics(o.Registerer, b.breakers.Muted)
	if o.Registerer != nil {
		o.Registerer.MustRegister(newGauges(b))
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.spawn(b.run)
	return b
}

// spawn runs f in a goroutine that Close waits for. It does nothing after Close.
func (b *Backends) spawn(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.wg.Go(f)
	return true
}

func (b *Backends) run() {
	lookups, breakers := time.NewTicker(resolveInterval), time.NewTicker(breakerTick)
	defer lookups.Stop()
	defer breakers.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-breakers.C:
			b.breakers.Tick()
		case <-lookups.C:
			for _, t := range b.list() {
				t.refresh()
			}
		}
	}
}

func (b *Backends) list() []*target {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]*target, 0, len(b.targets))
	for _, t := range b.targets {
		out = append(out, t)
	}
	return out
}

// Upstream returns an upstream for a valid configuration. Upstreams of the same
// scheme, host and port share connections and breakers, now and across reloads.
// It never blocks: a name is resolved in the background. What no caller of
// [Backends.Retain] names is forgotten at its next call.
func (b *Backends) Upstream(c UpstreamConfig) *Upstream {
	u := &Upstream{
		backends: b,
		config:   c,
		timeout:  time.Duration(c.TimeoutMS) * time.Millisecond,
		backoff:  time.Duration(c.Retry.BackoffMS) * time.Millisecond,
		headers:  NewHeaderChange(c.RequestHeaders),
		idle:     time.Duration(c.IdleTimeoutMS) * time.Millisecond,
	}
	// Routes that each see few requests must not all begin with the same address.
	u.turn.Store(uint32(b.options.Rand() * (1 << 32)))
	for _, w := range c.urls() {
		// An invalid URL has no host, so that every request gets ErrNoBackend.
		addr, _ := parseURL(w.URL)
		u.members = append(u.members, member{target: b.target(addr, c), address: addr, weight: w.Weight})
	}
	return u
}

// target returns the state of an upstream. What is new begins with the breaker
// that the route asks for, until [Backends.Retain] has looked at all routes.
func (b *Backends) target(addr address, c UpstreamConfig) *target {
	key := addr.key()
	if addr.tls {
		key.secure = c.TLS
	}
	b.mu.Lock()
	t, known := b.targets[key]
	if !known {
		t = newTarget(b, key, c.Breaker)
		b.targets[key] = t
	}
	b.mu.Unlock()
	if !known {
		t.refresh()
	}
	return t
}

// Retain puts in force what the given upstreams say about breakers, connections
// and health checks, and forgets everything that none of them uses: series are removed and
// idle connections closed. Requests under way on a forgotten upstream still
// finish.
func (b *Backends) Retain(in []*Upstream) {
	keep := make(map[*target]settings, len(in))
	for _, u := range in {
		for _, m := range u.members {
			s, known := keep[m.target]
			if !known {
				s = defaultSettings()
			}
			s.heedRoute(u.config, m.address)
			keep[m.target] = s
		}
	}
	var gone []*target
	b.mu.Lock()
	for key, t := range b.targets {
		if _, kept := keep[t]; !kept {
			delete(b.targets, key)
			gone = append(gone, t)
		}
	}
	b.mu.Unlock()
	for _, t := range gone {
		t.forget()
	}
	for t, s := range keep {
		t.apply(s)
	}
}

// Close stops resolving, closes idle connections and removes all series. It
// returns when no goroutine of the resolver is left; connections in use close
// with their requests.
func (b *Backends) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.cancel()
	b.wg.Wait()
	b.Retain(nil)
}
