package limiter

import (
	"time"

	"github.com/go-redis/redis_rate/v10"

	"github.com/go-api-gateway-pro/gateway/limiter/gcra"
)

// closedRetry is what a client is told to wait at a limit that is closed without
// Redis: nobody knows when Redis will be back.
const closedRetry = time.Second

// share is this node's part of a bucket, 1/N of rate and burst. It is charged
// with everything the node admits, whoever decided, and so is warm when Redis is
// lost. What it admits by itself is owed to Redis, and charged there before
// Redis decides on the bucket again.
type share struct {
	tat      int64
	known    int64 // the part of tat that Redis knows of, while owing
	owing    bool  // Redis does not know all
	settling bool  // what is owed is on its way
}

// charge follows an admission that Redis knows of.
func (s *share) charge(now int64, r *rule, members, cost int) {
	s.advance(now, gcra.Charge(s.tat, now, gcra.Share(r.gcra, members), cost))
}

// use follows an admission by a token that was drawn ahead, out of a bucket that may
// have been empty since: what flows into the share until the next draw is spent
// already, so the share may owe it.
func (s *share) use(now int64, r *rule, members, cost int) {
	s.advance(now, gcra.ChargeBeyond(s.tat, now, gcra.Share(r.gcra, members), cost, leaseMax(r, members)))
}

// follow keeps the share no fuller than the bucket, of which Redis said when it
// will be full: a TAT means the same in the whole and in its parts. Or nodes that
// got less than their part of an empty bucket would have saved up a burst for the
// moment when Redis is lost.
func (s *share) follow(now, full int64) { s.advance(now, max(s.tat, full)) }

// advance moves the TAT by what Redis knows of. It leaves what is owed as it is, or
// whoever owes a fraction of a token would be charged twice from then on.
func (s *share) advance(now, tat int64) {
	if s.owing {
		s.known = max(s.known, now) + max(tat-max(s.tat, now), 0)
	}
	s.tat = tat
}

// owe follows an admission that Redis does not know of.
func (s *share) owe(now int64, r *rule, members, cost int) {
	if !s.owing {
		s.owing, s.known = true, max(s.tat, now)
	}
	s.tat = gcra.Charge(s.tat, now, gcra.Share(r.gcra, members), cost)
}

// debt is what was taken here without Redis, in whole tokens, as far as it has
// not come back by now. Less than one is forgiven.
func (s *share) debt(now int64, r *rule, members int) int {
	if !s.owing {
		return 0
	}
	owed := gcra.Owed(s.known, s.tat, now, gcra.Share(r.gcra, members))
	s.owing = owed > 0
	return owed
}

// settled notes that so many tokens have reached Redis, or may have: a charge
// is never sent twice.
func (s *share) settled(now int64, r *rule, members, tokens int) {
	s.settling = false
	s.known = max(s.known, now) + int64(tokens)*int64(gcra.Share(r.gcra, members).Interval())
	s.owing = s.known < s.tat
}

// absence is why a share decides.
type absence uint8

const (
	lost   absence = iota // Redis must not be asked
	unsent                // it was to be asked, but the question never left
	late                  // it was asked, and has not answered in time
)

// decideByShare decides a without Redis. What it admits will be owed, but for an
// ask that is merely late: that has been charged in Redis.
func (s *store) decideByShare(a *ask, v view, why absence) {
	mask := s.acquire(a)
	defer s.release(mask)
	s.decideByShareLocked(a, v, why)
}

func (s *store) decideByShareLocked(a *ask, v view, why absence) {
	for i := range a.items {
		it := &a.items[i]
		it.result = s.slot(a, i, v.now).offer(it, v, why)
	}
	a.settle()
	a.source = a.special()
	for i := range a.items {
		it := &a.items[i]
		if !a.allowed || it.result.Allowed == 0 {
			continue
		}
		c := s.slot(a, i, v.now)
		if why == late {
			c.share.charge(v.now, it.rule, v.members, it.cost)
		} else {
			c.share.owe(v.now, it.rule, v.members, it.cost)
		}
	}
}

// offer tells what the share would give, but takes nothing.
func (c *slot) offer(it *item, v view, why absence) redis_rate.Result {
	if why != lost {
		if retry := c.denial.fresh(v.now); retry > 0 {
			return redis_rate.Result{Limit: it.rule.rate, RetryAfter: time.Duration(retry), ResetAfter: time.Duration(c.denial.reset - v.now)}
		}
	}
	part := gcra.Share(it.rule.gcra, v.members)
	c.share.tat, _ = gcra.Take(c.share.tat, v.now, part, 0) // pulled back if the limit was lowered
	_, r := gcra.Take(c.share.tat, v.now, part, it.cost)
	res := redis_rate.Result{Limit: it.rule.rate, Remaining: r.Remaining, RetryAfter: r.RetryAfter, ResetAfter: r.ResetAfter}
	switch it.rule.limit.OnRedisDown {
	case DownClosed:
		res.Remaining, res.RetryAfter = 0, closedRetry
	case DownOpen:
		res.Allowed = it.cost
	default:
		if r.Allowed {
			res.Allowed = it.cost
		}
	}
	if res.Allowed > 0 {
		res.RetryAfter = -1
	}
	return res
}

// special is the source of a local decision: open or closed if a limit that is
// neither made the difference.
func (a *ask) special() Source {
	open := len(a.items) > 0
	for i := range a.items {
		down := a.items[i].rule.limit.OnRedisDown
		if !a.allowed && a.items[i].result.Allowed == 0 && down == DownClosed {
			return SourceClosed
		}
		open = open && down == DownOpen
	}
	if a.allowed && open {
		return SourceOpen
	}
	return SourceLocal
}
