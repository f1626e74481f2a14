package accuracy

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// The marks every run has.
const (
	markBegin = "begin"
	markEnd   = "end"
)

// run is what a scenario left behind.
type run struct {
	scenario  scenario
	tally     tally             // of the judged load
	others    tally             // of the other loads
	admitted  []time.Duration   // of the judged limit, all clients, in order
	clients   [][]time.Duration // the same, client by client
	lasted    time.Duration     // from the first request sent to the last sent or admitted
	marks     map[string]mark
	evictions float64
	noise     noise
}

// play runs a scenario on a stage of its own.
func play(tb testing.TB, binary harness.Binary, s scenario) run {
	tb.Helper()
	st := newStage(tb, binary, s)
	st.counted = !s.orphan && !slices.ContainsFunc(s.script, func(p step) bool { return p.mark == markDown })
	r := run{scenario: s, marks: st.marks}
	st.note(markBegin)
	w := newWatch()
	r.tally, r.others = st.perform(s)
	r.noise = w.stop()
	st.note(markEnd)
	if st.counted {
		r.evictions = st.redis.Number("stats", "evicted_keys")
	}
	r.clients = st.upstream.admissions(s.loads[0].limit)
	r.admitted = slices.Concat(r.clients...)
	slices.Sort(r.admitted)
	r.lasted = span(r.tally.sent, r.admitted)
	return r
}

// perform sends the loads and plays the script beside them.
func (st *stage) perform(s scenario) (judged, others tally) {
	st.tb.Helper()
	from := st.clock.now()
	tallies := make([]tally, len(s.loads))
	var sending sync.WaitGroup
	defer sending.Wait()
	for i, l := range s.loads {
		sending.Go(func() { tallies[i] = l.run(st.clock, st.entries, from, from+s.lasts) })
	}
	for _, p := range s.script {
		time.Sleep(from + p.at - st.clock.now())
		st.note(p.mark)
		if p.do != nil {
			p.do(st)
		}
	}
	sending.Wait()
	for _, t := range tallies[1:] {
		others.add(t)
	}
	return tallies[0], others
}

// moments returns when two marks were.
func (r *run) moments(from, to string) (first, last time.Duration) {
	return r.marks[from].at, r.marks[to].at
}

// span is the time from the first request sent to the last one sent or admitted,
// whichever is later: on its way a request may wait, and buckets fill meanwhile.
func span(sent, admitted []time.Duration) time.Duration {
	if len(sent) == 0 {
		return 0
	}
	last := sent[len(sent)-1]
	if n := len(admitted); n > 0 {
		last = max(last, admitted[n-1])
	}
	return last - sent[0]
}

// returned reports whether every node came back to Redis, be it for a moment.
func (r *run) returned() bool {
	const switches, back = "gateway_limiter_mode_switches_total", `to="redis"`
	up, end := r.marks[markUp].nodes, r.marks[markEnd].nodes
	for i := range end {
		if end[i].Sum(switches, back) <= up[i].Sum(switches, back) {
			return false
		}
	}
	return true // rivals, of which there are no metrics, never left
}

// invalid says why nothing can be told from the run, empty if something can.
func (r *run) invalid() string {
	switch {
	case r.tally.offered() < leastOffered:
		return "load not offered: " + percent(1-r.tally.offered()) + " could not leave"
	case r.tally.lost > len(r.tally.sent)/100:
		return "no answer to " + percent(float64(r.tally.lost)/float64(len(r.tally.sent)))
	default:
		return ""
	}
}
