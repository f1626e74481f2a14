package faults

import (
	"context"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const (
	lead      = 2 * time.Second // of load before the fault
	trail     = 3 * time.Second // and after it has ended
	lookAgain = 100 * time.Millisecond
)

// fault is one line of the table.
type fault struct {
	name    string
	bound   bound
	dense   bool   // a load of a thousand requests a second
	guarded bool   // Redis has a replica and sentinels
	log     string // where the first node logs
	do      func(*stage)
	lasts   time.Duration // between do and undo
	undo    func(*stage)  // nil: the fault ends by itself
}

// run is what a fault left behind.
type run struct {
	fault     fault
	began     time.Duration // the fault
	ended     time.Duration
	took      time.Duration // the load
	recovered time.Duration // from the end of the fault to good health and no failure
	why       string        // health was not good again
	observed  observed
}

// play sends load to a fresh cluster and has the fault befall it.
func play(tb testing.TB, binary harness.Binary, f fault) run {
	tb.Helper()
	st := newStage(tb, binary, f)
	l := newLoad(st.front.addr, st.tokens, st.now)
	if f.dense {
		l.gets, l.posts = 500, 200
	}
	ctx, stop := context.WithCancel(tb.Context())
	defer stop()
	shots := make(chan []shot)
	start := st.now()
	go func() { shots <- l.run(ctx) }()
	r := run{fault: f}
	time.Sleep(lead)
	r.began = st.now()
	f.do(st)
	time.Sleep(f.lasts)
	if f.undo != nil {
		f.undo(st)
	}
	r.ended = st.now()
	healthy := r.await(st)
	time.Sleep(trail)
	stop()
	r.observed = observe(<-shots, st.ledger.count)
	r.took = st.now() - start
	r.recovered = max(healthy, r.observed.lastBad) - r.ended
	return r
}

// await returns when the cluster is in good health, or at the bound.
func (r *run) await(st *stage) time.Duration {
	for {
		r.why = st.sound()
		if r.why == "" || st.now()-r.ended > r.fault.bound.recovered {
			return st.now()
		}
		time.Sleep(lookAgain)
	}
}

// misses lists what was promised and not kept.
func (r *run) misses() []string {
	all := r.fault.bound.misses(r.observed, *r)
	if r.why != "" {
		all = append(all, "not in good health: "+r.why)
	}
	return all
}
