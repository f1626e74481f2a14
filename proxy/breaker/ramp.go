package breaker

import "time"

const (
	rampStart = 0.1                    // share of the traffic that returns at once
	rampMost  = 5 * time.Second        // however long the breaker was open
	rampPace  = 100 * time.Millisecond // a request this long after the last one always passes
)

// ramp lets traffic return to a backend little by little, in a straight line
// from a tenth to all of it: what has just started has cold caches, and all
// nodes return at the same moment. The zero ramp is over.
type ramp struct {
	began  time.Time
	length time.Duration
	last   time.Time // admitted
	credit float64   // requests that may pass
}

// newRamp is as long as half the breaker's time, but no longer than the outage
// was: a mistake corrected after a moment should not cost seconds.
func newRamp(now time.Time, outage, openFor time.Duration) ramp {
	return ramp{began: now, length: min(outage, openFor/2, rampMost), credit: 1}
}

func (r *ramp) over(now time.Time) bool { return now.Sub(r.began) >= r.length }

func (r *ramp) admit(now time.Time) bool {
	if r.over(now) {
		return true
	}
	r.credit += rampStart + (1-rampStart)*float64(now.Sub(r.began))/float64(r.length)
	if r.credit < 1 && now.Sub(r.last) < rampPace {
		return false
	}
	r.credit = max(r.credit-1, 0)
	r.last = now
	return true
}
