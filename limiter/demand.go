package limiter

import (
	"math"
	"time"
)

const (
	leaseHorizon = 50 * time.Millisecond // τ: tokens are drawn for so long ahead
	leaseLife    = 2 * leaseHorizon      // unused tokens go back after it

	// hotDemand is the demand per τ, 50 a second, from which a user or an
	// address draws ahead. The global bucket always does.
	hotDemand = 2.5
)

// demand estimates how many tokens a bucket is asked for here in τ: a moving
// average over windows of τ that forgets half of the past with each.
type demand struct {
	window  int64 // number of the current window
	current float32
	average float32
}

// add counts n tokens asked for at now.
func (d *demand) add(n int, now int64) {
	window := now / int64(leaseHorizon)
	if gap := window - d.window; gap > 0 {
		d.average = (d.average + d.current) / 2
		if gap > 1 {
			d.average = float32(math.Ldexp(float64(d.average), -int(min(gap-1, 64))))
		}
		d.window, d.current = window, 0
	}
	d.current += float32(n)
}

// tokens is the demand to be expected in the next τ.
func (d *demand) tokens() float64 { return float64(max(d.average, d.current)) }
