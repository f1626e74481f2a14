package limiter

import (
	"context"
	"time"
)

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
	a := l.ask(buckets)
	start := l.elapsed()
	state, flight := l.local.decide(a, l.viewAt(start))
	if state != stepDone {
		a = l.consult(ctx, a, buckets, state, flight)
	}
	if a.low {
		l.fetch(a)
	}
	d := a.decision()
	end := l.elapsed()
	d.Took = time.Duration(end - start)
	l.metrics.decided(a, d.Took)
	a.noteUsage(end)
	l.asks.Put(a)
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

// fetch sends for the stock that a found low. Nobody waits for it.
func (l *Limiter) fetch(a *ask) {
	f := l.asks.Get().(*ask)
	f.reset()
	f.state.Store(askAhead)
	for i := range a.items {
		it := &a.items[i]
		if it.flight == nil {
			continue
		}
		f.buf = append(f.buf, a.key(i)...)
		f.items = append(f.items, item{
			rule: it.rule, cost: it.cost, end: len(f.buf), via: viaRefill,
			need: it.cost, want: it.want, terms: it.terms, flight: it.flight,
		})
		it.flight = nil
	}
	if l.batcher.put(f) != nil {
		l.remote.drop(f)
	}
}

// consult has a decided with the help of Redis, within the budget. It returns
// the decided ask: another one if a may still be on its way.
func (l *Limiter) consult(ctx context.Context, a *ask, buckets []Bucket, next step, f *flight) *ask {
	wait := l.budget
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	a.timer.Reset(wait)
	defer a.timer.Stop()
	for next == stepWait {
		if !l.await(ctx, a, f, wait) {
			l.local.decideByShare(a, l.view(), unsent)
			return a
		}
		next, f = l.local.decide(a, l.view())
	}
	if next == stepDone {
		return a
	}
	return l.inquire(ctx, a, buckets, wait)
}

// await waits for a refill that another check sent. It is false if that takes
// too long.
func (l *Limiter) await(ctx context.Context, a *ask, f *flight, wait time.Duration) bool {
	select {
	case <-f.done:
		return true
	case <-a.timer.C:
		if wait == l.budget {
			l.breaker.overdue(l.elapsed())
		}
	case <-ctx.Done():
	}
	return false
}

// inquire asks Redis.
func (l *Limiter) inquire(ctx context.Context, a *ask, buckets []Bucket, wait time.Duration) *ask {
	if err := l.batcher.put(a); err != nil {
		l.remote.drop(a)
		l.breaker.fail(1, true, l.elapsed())
		return l.again(buckets, unsent)
	}
	expired := false
	select {
	case <-a.done:
		return l.outcome(a)
	case <-a.timer.C:
		expired = true
	case <-ctx.Done():
	}
	if !a.state.CompareAndSwap(askWaiting, askAbandoned) {
		<-a.done // the answer came at the last moment
		return l.outcome(a)
	}
	if expired {
		l.late(wait)
	}
	return l.again(buckets, late)
}

// late counts a check that Redis did not answer in time. A caller that gave less
// than the budget is no fault of Redis.
func (l *Limiter) late(wait time.Duration) {
	if wait == l.budget {
		l.breaker.fail(1, true, l.elapsed())
	}
}

// again decides by share. An ask that may still be on its way is left to the
// worker that has it.
func (l *Limiter) again(buckets []Bucket, why absence) *ask {
	a := l.ask(buckets)
	l.local.decideByShare(a, l.view(), why)
	return a
}

// outcome is a, or the share's decision if Redis answered with an error.
func (l *Limiter) outcome(a *ask) *ask {
	if a.err == nil {
		return a
	}
	l.local.decideByShare(a, l.view(), late)
	return a
}

// view is what a check that starts now sees.
func (l *Limiter) view() view { return l.viewAt(l.elapsed()) }

func (l *Limiter) viewAt(now int64) view {
	local := l.remote == nil || !l.breaker.closed()
	return view{
		now: now, local: local,
		members: l.members.count(now, l.remote != nil && local),
		away:    int(l.members.away.Load()),
	}
}
