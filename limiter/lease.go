package limiter

import (
	"math"
	"time"

	"github.com/go-redis/redis_rate/v10"
)

// lease is a stock of tokens drawn from Redis ahead of demand, so that a busy
// bucket does not cost a round trip per request. The tokens were charged before
// they are used: in any window w the cluster admits at most B + R·w and what is
// in stock, which is k per node and B/4 at most over all of them.
//
// A refill that brought less than was asked for, or left less than half of that,
// tells that the bucket is empty. Then nobody asks again for a minimum hold, in
// which the bucket gathers what it is due; without the hold the nodes would fetch
// single tokens in turn, a round trip each.
type lease struct {
	tokens  int
	refill  int   // size of the last grant
	expires int64 // when what is left goes back
	hold    int64 // no refill before
	retry   int64 // when a token will be there, as Redis said
	reset   int64 // when the bucket will be full, as Redis said
	beyond  int   // tokens Redis had left after the grant
	drawn   bool  // the sweeper knows of it
	flight  *flight
}

// flight is a refill on its way. Those that wait for it wait on done.
type flight struct{ done chan struct{} }

// leaseMax is the most tokens a node keeps of a rule's bucket: R·τ and B/4N.
func leaseMax(r *rule, members int) int {
	perHorizon := float64(r.limit.Rate) * leaseHorizon.Seconds() / r.limit.Period.Seconds()
	return min(int(perHorizon), r.limit.Burst/(4*max(members, 1)))
}

// leased tells whether the item's bucket is to be drawn from ahead.
func (c *slot) leased(it *item, members int) bool {
	l := &it.rule.limit
	if l.Strict || l.Shadow || (it.rule.scope != scopeGlobal && c.demand.tokens() < hotDemand) {
		return false
	}
	return leaseMax(it.rule, members) >= 2*it.cost
}

// stock returns the slot's lease, making an empty one.
func (c *slot) stock() *lease {
	if c.lease == nil {
		c.lease = &lease{}
	}
	return c.lease
}

// wanted is the size of a refill: what is asked for here in τ.
func (c *slot) wanted(it *item, members int) int {
	most := leaseMax(it.rule, members) - c.lease.tokens
	return max(min(int(math.Ceil(c.demand.tokens())), most), it.cost)
}

// put adds a grant that Redis answered to a question sent at the given time.
func (l *lease) put(it *item, sent int64, r redis_rate.Result) {
	l.tokens += r.Allowed
	l.refill, l.beyond = r.Allowed, r.Remaining
	l.expires = sent + int64(leaseLife)
	l.reset = sent + int64(r.ResetAfter)
	l.retry, l.hold = 0, 0
	if r.Allowed < it.want || r.Remaining < it.want/2 {
		l.retry = sent + int64(max(r.RetryAfter, 0))
		l.hold = max(sent+minHold(it.rule), min(l.retry, sent+denialLife))
	}
}

// inUse tells whether the lease still decides on something: by its tokens, or by
// the hold that outlasts them.
func (l *lease) inUse(now int64) bool {
	return l.tokens > 0 && now < l.expires || now < l.hold
}

// minHold is τ, or half the time an empty bucket takes to fill if that is less:
// what arrives in the hold must find room in the bucket.
func minHold(r *rule) int64 { return min(int64(leaseHorizon), r.fill()/2) }

// fetchFrom is the grant, 320 tokens a second, from which on it is worth asking for
// the next one before this one is used up.
const fetchFrom = 16

// low tells whether the next grant should be fetched now, so that no request has to
// wait for it: an eighth is left. Where the bucket is empty there is none to fetch.
func (l *lease) low(now int64) bool {
	return 8*l.tokens <= l.refill && l.refill >= fetchFrom && l.flight == nil && l.retry == 0 && now >= l.hold
}

// granted is the result of an item paid from the stock.
func (l *lease) granted(it *item, now int64) redis_rate.Result {
	return redis_rate.Result{
		Limit: it.rule.rate, Allowed: it.cost, Remaining: l.tokens + l.beyond,
		RetryAfter: -1, ResetAfter: time.Duration(max(l.reset-now, 0)),
	}
}

// held is the result of an item denied because of the hold.
func (l *lease) held(it *item, now int64) redis_rate.Result {
	return redis_rate.Result{
		Limit: it.rule.rate, Remaining: l.tokens,
		RetryAfter: time.Duration(max(l.hold, l.retry) - now),
		ResetAfter: time.Duration(max(l.reset-now, 0)),
	}
}
