package faults

import (
	"net/http"
	"slices"
	"time"
)

// request is one request of the load and what its client saw.
type request struct {
	id     string
	method string
	user   string        // whose bucket it is charged to; empty: a route without limits
	late   time.Duration // that it was sent after its time
	sent   time.Duration
	done   time.Duration
	status int    // 0: no whole answer
	node   string // that nginx asked first; empty: unknown
	own    bool   // the answer was to this very request
	err    error  // why there is no answer
}

// failed is no answer, or one that is neither the upstream's nor the limit's.
func (r request) failed() bool { return r.status/100 != 2 && r.status != http.StatusTooManyRequests }

// repeatable is a request that may reach an upstream twice.
func (r request) repeatable() bool { return r.method == http.MethodGet }

// hit is one arrival at an upstream.
type hit struct {
	id string
	at time.Duration
}

// span is a stretch of time.
type span struct{ from, to time.Duration }

// allowance is what the buckets of a run may admit.
type allowance struct {
	rate, burst float64 // of each user
	bursts      int     // times a bucket may begin full
	factor      float64 // of that; 1: exactly the limit
}

// verdict is what the oracle finds.
type verdict struct {
	requests   int
	failed     int
	outside    int // of the failed, those that were not under way at the moment
	lost       int // a client got a 2xx of which no upstream knows, or another's
	duplicated int // non-idempotent and seen twice
	over       int // admitted beyond the allowance, all users together
	admitted   float64
	stall      time.Duration // of the slowest answer
	late       time.Duration // the latest request left so much after its time
	lastBad    time.Duration // when the last failed answer came
	firstBad   request
}

// judge joins what clients and upstreams saw. Moment is when those under way
// could fail through nobody's fault.
func judge(requests []request, hits []hit, moment span, a allowance) verdict {
	v := verdict{requests: len(requests)}
	seen := map[string]int{}
	for _, h := range hits {
		seen[h.id]++
	}
	for _, r := range requests {
		v.weigh(r, seen[r.id], moment)
	}
	v.charge(requests, seen, a)
	return v
}

func (v *verdict) weigh(r request, seen int, moment span) {
	v.stall, v.late = max(v.stall, r.done-r.sent), max(v.late, r.late)
	if r.failed() {
		if v.failed == 0 {
			v.firstBad = r
		}
		v.failed++
		v.lastBad = max(v.lastBad, r.done)
		if r.sent > moment.to || r.done < moment.from {
			v.outside++
		}
	}
	if r.status/100 == 2 && (seen == 0 || !r.own) {
		v.lost++
	}
	if !r.repeatable() && seen > 1 {
		v.duplicated++
	}
}

// charge compares what reached the upstream for each user with the allowance.
func (v *verdict) charge(requests []request, seen map[string]int, a allowance) {
	users := map[string]float64{}
	var times []time.Duration
	for _, r := range requests {
		times = append(times, r.sent, r.done)
		if r.user != "" {
			users[r.user] += float64(seen[r.id])
		}
	}
	if len(users) == 0 {
		return
	}
	lasted := (slices.Max(times) - slices.Min(times)).Seconds()
	due := float64(a.bursts)*a.burst + a.rate*lasted
	for _, got := range users {
		v.admitted = max(v.admitted, got/due)
		v.over += max(0, int(got-due*a.factor))
	}
}
