package limiter

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
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
	// Size is the number of live members of the cluster, this node included. It
	// is called some times a second, must not block, and must be safe for
	// concurrent use. Nil means a node alone.
	Size func() int
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

	breaker *breaker // closed for good without Redis
	remote  *remote  // nil without Redis
	batcher *batcher
	ctx     context.Context // of the background work
	stop    context.CancelFunc
	running sync.WaitGroup
}

// New makes a limiter and starts its background work. It does not wait for
// Redis: while that cannot be reached, the limiter limits locally. It fails on
// an invalid Config or on metrics that are registered already.
func New(o Options) (*Limiter, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, fmt.Errorf("cannot use redis section: %w", err)
	}
	l := newLocal(o)
	if addrs := o.Config.addresses(); len(addrs) > 0 {
		l.addRedis(o, addrs[0])
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
	l := &Limiter{
		log:     o.Log,
		clock:   o.Now,
		origin:  o.Now(),
		budget:  o.Config.budget(),
		rules:   newRules(o.Config.KeyPrefix),
		local:   newStore(defaultMaxKey),
		members: newMembers(o.Size, o.Config.Fallback.MinMembers),
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.metrics = newMetrics()
	l.asks.New = func() any { return newAsk() }
	l.breaker = newBreaker(o.Rand, l.lost)
	return l
}

func (l *Limiter) addRedis(o Options, addr string) {
	muteClientLog()
	l.remote = &remote{
		client:  newClient(o.Config, addr, o.Dial),
		digest:  scriptDigest(),
		budget:  l.budget,
		breaker: l.breaker,
		metrics: l.metrics,
		now:     l.elapsed,
		canary:  newRule(&Limit{ID: "probe", Rate: 1000, Burst: 1000, Period: time.Second}, l.rules.prefix),
	}
	l.batcher = newBatcher(l.remote.send)
}

// start runs what talks to Redis, if there is one.
func (l *Limiter) start() {
	if l.remote == nil {
		return
	}
	l.batcher.start(l.ctx)
	p := &prober{breaker: l.breaker, probe: l.remote.probe, warm: l.remote.warm, onClose: l.back, now: l.elapsed}
	l.running.Go(func() { p.run(l.ctx) })
}

// Check decides whether a request may take its cost from every bucket, and
// takes it from all or none. It needs no error: what Redis cannot decide in
// time is decided by this node's share. It returns within the budget (and what
// the scheduler adds), or earlier if ctx ends.
//
// It is made for a handful of buckets. The same bucket twice costs twice. With
// no bucket the request is allowed.
func (l *Limiter) Check(ctx context.Context, buckets []Bucket) Decision {
	if len(buckets) == 0 {
		return Decision{Allowed: true}
	}
	start := l.elapsed()
	a := l.ask(buckets)
	source, reuse := SourceLocal, true
	if l.remote != nil && l.breaker.closed() {
		source, reuse = l.askRedis(ctx, a)
	}
	end := l.elapsed()
	switch {
	case source == SourceLocal:
		l.local.take(a, end, l.shares(end))
	case a.allowed:
		l.local.charge(a, end, l.shares(end))
	}
	d := a.decision(source)
	d.Took = time.Duration(l.elapsed() - start)
	l.metrics.decided(a, source, d.Took)
	if reuse {
		l.asks.Put(a)
	}
	return d
}

func (l *Limiter) ask(buckets []Bucket) *ask {
	a := l.asks.Get().(*ask)
	a.reset()
	for i := range buckets {
		b := &buckets[i]
		a.add(l.rules.get(b.Limit), b.Key, max(b.Cost, 1))
	}
	return a
}

// askRedis has a decided by Redis. If that fails the source is local, and a is
// still to be decided. An ask that may still be on its way must not be reused.
func (l *Limiter) askRedis(ctx context.Context, a *ask) (source Source, reuse bool) {
	wait := l.budget
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	a.spell()
	if wait <= 0 {
		return SourceLocal, true
	}
	if err := l.batcher.put(a); err != nil {
		l.breaker.fail(1, true, l.elapsed())
		return SourceLocal, true
	}
	a.timer.Reset(wait)
	defer a.timer.Stop()
	late := false
	select {
	case <-a.done:
		return a.outcome(), true
	case <-a.timer.C:
		late = wait == l.budget
	case <-ctx.Done():
	}
	if !a.state.CompareAndSwap(askWaiting, askAbandoned) {
		<-a.done // the answer came at the last moment
		return a.outcome(), true
	}
	if late {
		l.breaker.fail(1, true, l.elapsed())
	}
	return SourceLocal, false
}

// shares is by how many members a limit is divided locally.
func (l *Limiter) shares(now int64) int {
	return l.members.count(now, l.remote != nil && !l.breaker.closed())
}

// elapsed is the time since the limiter was made, in nanoseconds.
func (l *Limiter) elapsed() int64 { return max(int64(l.clock().Sub(l.origin)), 0) }

// Mode is ModeRedis while the cluster's buckets decide, else ModeLocal.
func (l *Limiter) Mode() string {
	if l.remote != nil && l.breaker.closed() {
		return ModeRedis
	}
	return ModeLocal
}

// Retain forgets the local state of all limits whose ID is not in ids. Buckets
// in Redis expire by themselves.
func (l *Limiter) Retain(ids map[string]bool) {
	l.rules.forget()
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
	l.breaker.reopen() // for good: nobody is left to close it
	if err := l.remote.client.Close(); err != nil {
		return fmt.Errorf("cannot close Redis client: %w", err)
	}
	return nil
}

func (l *Limiter) lost() {
	l.metrics.toLocal.Inc()
	l.log.Warn().Int("members", l.shares(l.elapsed())).Msg("limiter: redis lost, limiting locally")
}

func (l *Limiter) back() {
	l.metrics.toRedis.Inc()
	l.log.Info().Msg("limiter: redis back")
}
