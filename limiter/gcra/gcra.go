// Package gcra is the generic cell rate algorithm in whole nanoseconds.
//
// A bucket is one number, its TAT (theoretical arrival time): the instant at
// which it will be full again. A token taken moves the TAT on by one interval;
// a request fits while the TAT stays within the horizon, which is the time an
// empty bucket needs to fill. So a bucket needs no ticker, no counter and no
// window, and one int64 is its whole state. The price: any window w admits up
// to burst + rate·w, never less, as with every token bucket.
//
// Nothing here reads a clock. Times are nanoseconds from an origin of the
// caller's choice, as long as "now" is not negative; a TAT of zero is therefore
// a full bucket. All functions are pure and safe for concurrent use.
//
// A TAT further ahead than burst·interval can only come from a limit that was
// lowered or a clock that was set back. It is pulled back to there, and the
// pulled-back value is returned even on a denial, so nobody is locked out for
// longer than an empty bucket needs to fill.
package gcra

import (
	"math"
	"math/bits"
	"time"
)

// Limit is what a bucket may hold and how fast it fills.
//
// Rate, Burst and Period must be at least 1; the zero Limit admits nothing.
type Limit struct {
	Rate   int           // tokens per Period
	Burst  int           // tokens in a full bucket
	Period time.Duration // the time in which Rate tokens arrive

	members int // the bucket is one of so many equal shares; 0 and 1 mean the whole
}

// Result is the outcome of Take or Peek.
type Result struct {
	Allowed    bool
	Remaining  int           // whole tokens left after the decision
	RetryAfter time.Duration // time until the same cost fits; 0 when allowed
	ResetAfter time.Duration // time until the bucket is full
}

// Share returns the nth part of l: rate/n and burst/n. Both are exact, for the
// interval is scaled and the horizon is kept; 5 per minute over three members is
// one token in 36 s each. A change of n keeps the fill level of a bucket in
// proportion, because TATs are times. n below 1 counts as 1.
func Share(l Limit, n int) Limit {
	l.members = max(n, 1)
	return l
}

// Take takes n tokens at now if they all fit. It returns the TAT to keep, also
// when it denies. n of zero or less takes nothing. A share whose burst is below
// n has a burst of n, or it could never admit at all.
func Take(tat, now int64, l Limit, n int) (int64, Result) {
	n = max(n, 0)
	interval := l.interval()
	horizon := l.horizon(interval, n)
	tat = l.clamp(tat, now, interval)
	next := add(tat, mul(int64(n), interval))
	if over := next - now - horizon; over > 0 {
		return tat, Result{
			Remaining:  tokens(horizon-(tat-now), interval),
			RetryAfter: time.Duration(over),
			ResetAfter: time.Duration(tat - now),
		}
	}
	return next, Result{
		Allowed:    true,
		Remaining:  tokens(horizon-(next-now), interval),
		ResetAfter: time.Duration(next - now),
	}
}

// Peek tells what Take would, but takes nothing: Remaining counts the tokens
// before, and the bucket is left as it is.
func Peek(tat, now int64, l Limit, n int) Result {
	_, r := Take(tat, now, l, n)
	if r.Allowed {
		_, before := Take(tat, now, l, 0)
		r.Remaining, r.ResetAfter = before.Remaining, before.ResetAfter
	}
	return r
}

// Charge takes n tokens whether they fit or not; a bucket never owes more than
// to be empty. It returns the TAT to keep.
func Charge(tat, now int64, l Limit, n int) int64 { return ChargeBeyond(tat, now, l, n, 0) }

// ChargeBeyond is Charge for a bucket that may owe so many tokens more than it
// holds. Only a share can: the whole is pulled back to empty.
func ChargeBeyond(tat, now int64, l Limit, n, debt int) int64 {
	n = max(n, 0)
	interval := l.interval()
	tat = l.clamp(tat, now, interval)
	most := add(add(now, l.horizon(interval, n)), mul(int64(max(debt, 0)), interval))
	return max(tat, min(add(tat, mul(int64(n), interval)), most))
}

// Refund puts n tokens back; a bucket never holds more than its burst. It
// returns the TAT to keep.
func Refund(tat, now int64, l Limit, n int) int64 {
	n = max(n, 0)
	interval := l.interval()
	return max(now, l.clamp(tat, now, interval)-mul(int64(n), interval))
}

// interval is the time one token takes to arrive, rounded up: a bucket may be
// slower than promised by a nanosecond per token, never faster.
func (l Limit) interval() int64 {
	if l.Rate < 1 || l.Period < 1 {
		return math.MaxInt64
	}
	return ceilDiv(mul(int64(l.Period), int64(max(l.members, 1))), int64(l.Rate))
}

// horizon is the time an empty bucket takes to fill. It is the same for the
// whole and for each share, except where a share is too small for the cost n.
func (l Limit) horizon(interval int64, n int) int64 {
	if l.Rate < 1 || l.Period < 1 || l.Burst < 1 {
		return 0
	}
	whole := mul(int64(l.Burst), ceilDiv(int64(l.Period), int64(l.Rate)))
	if l.members > 1 && n <= l.Burst {
		return max(whole, mul(int64(n), interval))
	}
	return whole
}

// clamp pulls a TAT back to where the costliest request could have put it. For
// a share that is further than its own horizon: a small one may owe more than
// it holds after a request that costs more.
func (l Limit) clamp(tat, now, interval int64) int64 {
	return min(max(tat, now), add(now, mul(int64(max(l.Burst, 0)), interval)))
}

func tokens(d, interval int64) int {
	return int(max(d, 0) / interval)
}

func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 {
		q++
	}
	return max(q, 1)
}

// add and mul saturate: a bucket that takes centuries to fill must not wrap
// around into one that is always full. Both arguments are never negative.
func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func mul(a, b int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi != 0 || lo > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(lo)
}
