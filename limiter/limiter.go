package limiter

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// The modes of a limiter.
const (
	ModeRedis = "redis" // by the cluster's buckets
	ModeLocal = "local" // by this node's share of them
)

// Options are what a Limiter needs.
type Options struct {
	Config Config
	// Size is the number of members of the cluster, this node included: those
	// that live, or that ought to. It is called some times a second, must not
	// block, and must be safe for concurrent use. Nil means a node alone.
	Size func() int
	// Local is how many of the other live members limit locally. It is called as
	// Size is. Nil means none.
	Local func() int
	// OnMode is called when Mode has changed, from a goroutine of the limiter or
	// of a check: it must not block. It may be nil.
	OnMode func()
	// Now is the clock; time.Now if nil. The clock of the cluster's buckets is
	// that of Redis.
	Now func() time.Time
	// Rand is the source of jitter, in [0, 1); math/rand if nil.
	Rand func() float64
	// Dial connects to Redis; TCP if nil.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Log gets the switches between the modes, nothing per request.
	Log zerolog.Logger
	// Registerer gets the metrics; none if nil.
	Registerer prometheus.Registerer
}

// Limiter decides requests. Make one with New; all methods are safe for
// concurrent use.
type Limiter struct {
	log    zerolog.Logger
	clock  func() time.Time
	origin time.Time
	budget time.Duration

	rules   *rules
	local   *store
	members *members
	metrics *metrics
	asks    sync.Pool
	onMode  func()

	breaker  *breaker // closed for good without Redis
	remote   *remote  // nil without Redis
	batcher  *batcher
	settling atomic.Bool     // Redis is lost, or back and does not know all yet
	warned   atomic.Bool     // that Redis may evict
	told     atomic.Bool     // why Redis is lost, this time
	ctx      context.Context // of the background work
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// New makes a limiter and starts its background work. It does not wait for
// Redis: while that cannot be reached, the limiter limits locally. It fails on
// an invalid Config or on metrics that are registered already.
func New(o Options) (*Limiter, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, fmt.Errorf("cannot use redis section: %w", err)
	}
	l := newLocal(o)
	if len(o.Config.addresses()) > 0 {
		if err := l.addRedis(o); err != nil {
			return nil, err
		}
	}
	if err := register(o.Registerer, append(l.metrics.collectors, l.gauges()...)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	l.start()
	return l, nil
}

// newLocal is a limiter that knows of no Redis.
func newLocal(o Options) *Limiter {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.OnMode == nil {
		o.OnMode = func() {}
	}
	l := &Limiter{
		log:     o.Log,
		clock:   o.Now,
		origin:  o.Now(),
		budget:  o.Config.budget(),
		rules:   newRules(o.Config.KeyPrefix),
		members: newMembers(o.Size, o.Local, o.Config.Fallback.MinMembers),
		metrics: newMetrics(),
		onMode:  o.OnMode,
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.local = newStore(defaultMaxKey, l.metrics)
	l.asks.New = func() any { return newAsk() }
	l.breaker = newBreaker(l.budget, o.Rand, l.lost)
	return l
}

func (l *Limiter) addRedis(o Options) error {
	muteClientLog()
	client, err := newClient(o.Config, o.Dial)
	if err != nil {
		return err
	}
	l.remote = &remote{
		client:  client,
		spread:  o.Config.Mode == ModeCluster,
		digest:  scriptDigest(),
		budget:  l.budget,
		breaker: l.breaker,
		metrics: l.metrics,
		now:     l.elapsed,
		store:   l.local,
		view:    l.view,
		canary:  newRule(Limit{ID: "probe", Rate: 1000, Burst: 1000, Period: time.Second}, l.rules.prefix),
	}
	l.batcher = newBatcher(l.remote.send, l.remote.drop)
	return nil
}

// start runs what talks to Redis, if there is one.
func (l *Limiter) start() {
	if l.remote == nil {
		return
	}
	l.batcher.start(l.ctx)
	p := &prober{
		breaker: l.breaker, probe: l.probe, peers: l.members.local, warm: l.warm, onClose: l.back, now: l.elapsed,
	}
	l.running.Go(func() { p.run(l.ctx) })
	l.running.Go(func() { l.sweep(l.ctx) })
}

// elapsed is the time since the limiter was made, in nanoseconds.
func (l *Limiter) elapsed() int64 { return max(int64(l.clock().Sub(l.origin)), 0) }

// Mode is ModeRedis while the cluster's buckets decide, else ModeLocal. It is
// local, too, until Redis has learned what was admitted without it.
func (l *Limiter) Mode() string {
	if l.remote != nil && l.breaker.closed() && !l.settling.Load() {
		return ModeRedis
	}
	return ModeLocal
}

// Retain forgets the local state of all limits whose ID is not in ids. Buckets
// in Redis expire by themselves.
func (l *Limiter) Retain(ids map[string]bool) {
	l.rules.retain(ids)
	l.local.retain(ids)
}

// Close ends the background work and the connections, and waits for them.
// A later Check is decided locally. Close may be called once.
func (l *Limiter) Close() error {
	l.stop()
	if l.remote == nil {
		return nil
	}
	l.batcher.workers.Wait()
	l.running.Wait()
	l.giveBack(l.local.reclaim(l.elapsed(), true))
	l.breaker.reopen() // for good: nobody is left to close it
	if err := l.remote.client.Close(); err != nil {
		return fmt.Errorf("cannot close Redis client: %w", err)
	}
	return nil
}

func (l *Limiter) lost() {
	l.settling.Store(true)
	l.metrics.toLocal.Inc()
	l.log.Warn().Int("members", l.view().members).Msg("limiter: redis lost, limiting locally")
	l.onMode()
}

// back is called when the breaker has closed.
func (l *Limiter) back(ctx context.Context) {
	l.settle(ctx)
	l.settling.Store(false)
	if !l.breaker.closed() {
		return // lost once more meanwhile
	}
	l.told.Store(false)
	l.metrics.toRedis.Inc()
	l.log.Info().Msg("limiter: redis back")
	l.onMode()
}

// probe asks Redis, and tells once an outage what is wrong with it: a refused
// password or certificate does not heal by itself. That nothing came in time is
// told by the outage.
func (l *Limiter) probe(ctx context.Context) error {
	err := l.remote.probe(ctx)
	if err != nil && !isTimeout(err) && ctx.Err() == nil && !l.breaker.closed() && !l.told.Swap(true) {
		l.log.Warn().Err(err).Msg("limiter: cannot use redis")
	}
	return err
}

// warm makes the connections ready, and warns once of a Redis that may throw
// buckets away.
func (l *Limiter) warm(ctx context.Context) {
	l.remote.warm(ctx)
	if policy := l.remote.evicts(ctx); policy != "" && !l.warned.Swap(true) {
		l.log.Warn().Str("maxmemory_policy", policy).
			Msg("limiter: redis may evict buckets, which fills them; set maxmemory-policy noeviction")
	}
}
