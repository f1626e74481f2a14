package limiter

import "github.com/go-redis/redis_rate/v10"

// answer is what came back for an ask: results of the items that were sent, in
// their order, or an error.
type answer struct {
	sent    int64 // when the question left, since the limiter was made
	unsent  bool  // it never left
	results []redis_rate.Result
	err     error
}

// adopt learns from the answer to a. If the caller still waits (mine), the
// results become a's decision. If not, the caller has decided by share, and the
// worker is the only one to hold a.
//
// A grant that came too late for its request is stock for the next ones. An
// error loses a grant: it may have been charged, and is never asked back.
func (s *store) adopt(a *ask, ans answer, v view, mine bool) {
	mask := s.acquire(a)
	defer s.release(mask)
	next := 0
	for i := range a.items {
		it := &a.items[i]
		c := s.slot(a, i, v.now)
		if it.via == viaLease {
			continue
		}
		s.landLocked(c, it, ans, v)
		if ans.err != nil {
			continue
		}
		it.result = ans.results[next]
		next++
		c.denial.note(it, ans.sent, it.result)
		if it.via == viaRefill {
			s.stockLocked(c, it, ans.sent)
		}
	}
	a.settle()
	a.source = SourceRedis
	for i := range a.items {
		c, it := s.slot(a, i, v.now), &a.items[i]
		full, reported := ans.sent+int64(it.result.ResetAfter), ans.err == nil && it.reported(a.allowed)
		s.closeLocked(c, a, i, v, mine && ans.err == nil)
		if reported {
			c.share.follow(v.now, full)
		}
	}
}

// reported tells whether the item's result says how full its bucket is now. That of
// a grant which another bucket made void counts it as taken.
func (it *item) reported(allowed bool) bool {
	return it.via == viaRefill || it.via != viaLease && (allowed || it.result.Allowed == 0)
}

// landLocked ends the journey of a refill and of a debt.
func (s *store) landLocked(c *slot, it *item, ans answer, v view) {
	if it.flight != nil {
		if c.lease != nil && c.lease.flight == it.flight {
			c.lease.flight = nil
		}
		close(it.flight.done)
		it.flight = nil
	}
	switch {
	case it.owed == 0:
	case ans.unsent:
		c.share.settling = false
	default:
		c.share.settled(v.now, it.rule, v.members, it.owed)
		s.metrics.settled.Add(float64(it.owed))
	}
}

// stockLocked puts what Redis granted into the lease.
func (s *store) stockLocked(c *slot, it *item, sent int64) {
	l := c.stock()
	l.put(it, sent, it.result)
	s.metrics.leaseGranted.Add(float64(it.result.Allowed))
	if l.tokens > 0 && !l.drawn {
		l.drawn = true
		s.drawn.add(c.key)
	}
}

// closeLocked takes or puts back what bucket i of a decided ask has to do with
// the stock, and lets the share follow an admission.
func (s *store) closeLocked(c *slot, a *ask, i int, v view, decided bool) {
	it := &a.items[i]
	pass := decided && a.allowed
	switch {
	case !pass || it.result.Allowed == 0:
	case it.via == viaRefill || it.via == viaLease:
		c.share.use(v.now, it.rule, v.members, it.cost)
	default:
		c.share.charge(v.now, it.rule, v.members, it.cost)
	}
	switch it.via {
	case viaRefill:
		if it.result.Allowed == 0 && decided {
			it.result = c.stock().held(it, v.now)
		}
		if pass {
			l := c.stock()
			l.tokens = max(l.tokens-it.cost, 0)
			s.metrics.leaseUsed.Add(float64(it.cost))
			it.result = l.granted(it, v.now)
		}
	case viaLease:
		if pass {
			s.metrics.leaseUsed.Add(float64(it.cost))
		} else if c.lease != nil {
			c.lease.tokens += it.cost
		}
	}
}
