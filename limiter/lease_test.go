package limiter

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// cohort is some nodes on one Redis, with one clock that only moves when told.
type cohort struct {
	*server
	nodes  []*Limiter
	due    []float64 // requests a node has still to get
	passed []int     // in each millisecond
}

func newCohort(t testing.TB, n int) *cohort {
	t.Helper()
	c := &cohort{server: newServer(t), due: make([]float64, n)}
	for range n {
		c.nodes = append(c.nodes, newTest(t, func(o *Options) {
			c.on(o)
			o.Size = func() int { return n }
		}))
	}
	return c
}

// offer sends each node its part of demand per second for a time, in steps of a
// millisecond, and returns how many requests passed and the most of any second.
func (c *cohort) offer(t testing.TB, d time.Duration, demand int, parts []float64, b ...Bucket) (passed, peak int) {
	from := len(c.passed)
	for range d / time.Millisecond {
		now := 0
		for i, part := range parts {
			c.due[i] += float64(demand) * part / 1000
			for ; c.due[i] >= 1; c.due[i]-- {
				now += admitted(t, c.nodes[i], 1, b...)
			}
		}
		c.passed = append(c.passed, now)
		c.add(time.Millisecond)
	}
	second := 0
	for i, n := range c.passed[from:] {
		passed, second = passed+n, second+n
		if i >= 1000 {
			second -= c.passed[from+i-1000]
		}
		peak = max(peak, second)
	}
	return passed, peak
}

// worst is the most that passed in any window, of whatever length, beyond what
// flows in during it.
func (c *cohort) worst(rate int) float64 {
	most, excess := 0.0, 0.0
	for _, n := range c.passed {
		excess = max(excess-float64(rate)/1000, 0) + float64(n)
		most = max(most, excess)
	}
	return most
}

// calls is the number of scripts that the nodes have sent.
func (c *cohort) calls() (n float64) {
	for _, l := range c.nodes {
		n += testutil.ToFloat64(l.metrics.callOK)
	}
	return n
}

// Three nodes admit what one bucket holds, for a fraction of the round trips,
// wherever the load lands.
func TestLeasesAdmitWhatIsDueForFewCalls(t *testing.T) {
	const seconds = 5
	even, skew := []float64{1. / 3, 1. / 3, 1. / 3}, []float64{.8, .15, .05}
	f := func(rate, burst, demand int, parts []float64, least float64, maxCalls float64, strict bool) {
		t.Helper()
		c := newCohort(t, 3)
		limit := perSecond("hot", ScopeGlobal, rate, burst)
		limit.Strict = strict
		passed, peak := c.offer(t, seconds*time.Second, demand, parts, Bucket{Limit: limit})
		due := min(burst+rate*seconds, demand*seconds)
		calls := c.calls() / seconds
		name := fmt.Sprintf("%d/s, burst %d, demand %d, %v, strict %v", rate, burst, demand, parts, strict)
		t.Logf("%s: admitted %.4f of what is due, %.0f calls/s, most in a second %d", name, float64(passed)/float64(due), calls, peak)
		if got := float64(passed) / float64(due); got < least || got > 1.0005 {
			t.Errorf("%s: admitted %d of %d due, want at least %v", name, passed, due, least)
		}
		if calls > maxCalls {
			t.Errorf("%s: %.0f calls a second, want at most %.0f", name, calls, maxCalls)
		}
		if most := float64(burst + burst/4 + 1); c.worst(rate) > most {
			t.Errorf("%s: some window admits %.1f more than flows in, want at most %.0f", name, c.worst(rate), most)
		}
	}
	f(1000, 1000, 3000, even, .985, 66, false)
	f(1000, 1000, 3000, skew, .985, 66, false)
	f(1000, 1000, 950, skew, .985, 66, false)
	// A burst under 4N·R·τ leaves less than τ's demand to draw: B/4N at a time.
	f(1000, 100, 3000, skew, .985, 60+4*3*1000/100, false)
	f(100, 100, 300, skew, .985, 300, true)
	f(10, 10, 200, even, .98, 45, false)
}
