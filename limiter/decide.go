package limiter

import "github.com/go-redis/redis_rate/v10"

// view is what a check sees of the cluster.
type view struct {
	now     int64 // since the limiter was made
	members int   // by how many a limit is divided without Redis
	away    int   // of them without Redis, this one not counted
	local   bool  // Redis must not be asked
}

// scale is what the members with Redis leave to those without.
func (v view) scale() scale {
	if v.away == 0 || v.members < 2 {
		return scale{}
	}
	return scale{v.members, min(v.away, v.members-1)}
}

// step is what is left to do for an ask.
type step uint8

const (
	stepDone step = iota // it is decided
	stepAsk              // Redis has to be asked
	stepWait             // a refill on its way has to be waited for
)

// decide looks at all buckets of a at once and decides what needs no round
// trip; else it prepares the questions. In this order:
//
//  1. Without Redis, and while a bucket's debt is on its way there, by share.
//  2. A denial that still holds, or a lease on hold, denies.
//  3. Tokens in stock pay for their bucket; if they pay for all, it is allowed.
//  4. If only a refill is missing that somebody else asked for, wait for it.
//  5. Redis is asked for the rest, for refills and with the debts.
func (s *store) decide(a *ask, v view) (step, *flight) {
	mask := s.acquire(a)
	defer s.release(mask)
	s.countLocked(a, v)
	switch {
	case v.local || s.settlingLocked(a, v):
		s.decideByShareLocked(a, v, lost)
		return stepDone, nil
	case s.deniedLocked(a, v):
		return stepDone, nil
	}
	remote, flight := s.planLocked(a, v)
	switch {
	case remote == 0:
		s.payLocked(a, v)
		return stepDone, nil
	case remote == 1 && flight != nil:
		return stepWait, flight
	}
	s.sendLocked(a, v)
	return stepAsk, nil
}

// countLocked counts the demand of a, however often it has to wait.
func (s *store) countLocked(a *ask, v view) {
	if a.counted {
		return
	}
	a.counted = true
	for i := range a.items {
		s.slot(a, i, v.now).demand.add(a.items[i].cost, v.now)
	}
}

// settlingLocked tells whether Redis is about to learn what was taken here
// without it. Until then its answer would be wrong.
func (s *store) settlingLocked(a *ask, v view) bool {
	for i := range a.items {
		if s.slot(a, i, v.now).share.settling {
			return true
		}
	}
	return false
}

// deniedLocked denies a if a bucket is known to be empty. Shadows deny nothing,
// but what would be denied is noted.
func (s *store) deniedLocked(a *ask, v view) bool {
	denied := false
	for i := range a.items {
		it := &a.items[i]
		c := s.slot(a, i, v.now)
		it.result = redis_rate.Result{Limit: it.rule.rate, Allowed: it.cost, RetryAfter: -1}
		switch {
		case it.rule.limit.Shadow || c.share.owing:
		case c.lease != nil && v.now < c.lease.hold && c.lease.tokens < it.cost && c.leased(it, v.members):
			it.result, denied, a.source = c.lease.held(it, v.now), true, SourceLease
		case c.denial.holds(it, v.now):
			it.result, denied, a.source = c.denial.result(it, v.now), true, SourceDeny
		}
	}
	return denied
}

// planLocked tells how each bucket is decided, how many of them need Redis, and
// the refill in flight that one of these could wait for.
func (s *store) planLocked(a *ask, v view) (remote int, wait *flight) {
	for i := range a.items {
		it := &a.items[i]
		c := s.slot(a, i, v.now)
		it.need, it.want, it.owed = it.cost, it.cost, c.share.debt(v.now, it.rule, v.members)
		it.via = viaCharge
		switch {
		case it.rule.limit.Shadow:
			it.via = viaShadow
		case it.owed > 0 || !c.leased(it, v.members):
		case c.stock().tokens >= it.cost:
			it.via = viaLease
		case c.lease.flight != nil:
			wait = c.lease.flight
		default:
			it.via, it.want = viaRefill, c.wanted(it, v.members)
		}
		if it.via != viaLease {
			remote++
		}
	}
	return remote, wait
}

// payLocked pays all of a from stock.
func (s *store) payLocked(a *ask, v view) {
	a.source, a.allowed = SourceLease, true
	for i := range a.items {
		it := &a.items[i]
		c := s.slot(a, i, v.now)
		c.lease.tokens -= it.cost
		s.metrics.leaseUsed.Add(float64(it.cost))
		it.result = c.lease.granted(it, v.now)
		c.share.use(v.now, it.rule, v.members, it.cost)
		if c.lease.low(v.now) {
			a.low, it.want = true, c.wanted(it, v.members)
			it.departLocked(c, v)
		}
	}
}

// departLocked makes a refill known as on its way.
func (it *item) departLocked(c *slot, v view) {
	it.terms = it.rule.terms(it.cost, v.scale())
	it.flight = &flight{done: make(chan struct{})}
	c.lease.flight = it.flight
}

// sendLocked takes what a needs from stock, and marks what travels with it.
func (s *store) sendLocked(a *ask, v view) {
	for i := range a.items {
		it := &a.items[i]
		c := s.slot(a, i, v.now)
		c.share.settling = it.owed > 0
		switch it.via {
		case viaLease:
			c.lease.tokens -= it.cost
			it.result = c.lease.granted(it, v.now)
		case viaRefill:
			it.departLocked(c, v)
		default:
			it.terms = it.rule.terms(it.cost, v.scale())
		}
	}
}
