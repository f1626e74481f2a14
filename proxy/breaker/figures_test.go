package breaker

import (
	"fmt"
	"testing"
	"time"
)

const worlds = 25 // seeds for each figure

// What a backend that dies costs, one request at a time and many at once, and how
// long it takes from the first open breaker to the last. Nodes alone are the
// baseline.
func TestFigureDeadBackend(t *testing.T) {
	f := func(nodes int, loss float64, limit int) {
		t.Helper()
		worst, longest, baseline := 0, time.Duration(0), 0
		for seed := range uint64(worlds) {
			failures, spread := dieOneAtATime(t, newWorld(seed, nodes, 1), loss)
			worst, longest = max(worst, failures), max(longest, spread)
			lone := newWorld(seed, nodes, 1)
			lone.isolate()
			failures, _ = dieOneAtATime(t, lone, loss)
			baseline = max(baseline, failures)
		}
		t.Logf("%d nodes, %2.0f %% of messages lost: at most %2d failures (independent: %d), %v from first to all open",
			nodes, 100*loss, worst, baseline, longest)
		if worst > limit {
			t.Errorf("%d failures, want at most %d", worst, limit)
		}
		if longest > 500*time.Millisecond {
			t.Errorf("%v from first to all open, want at most 500ms", longest)
		}
		if baseline != 5*nodes {
			t.Errorf("independent nodes: %d failures, want %d", baseline, 5*nodes)
		}
	}
	f(2, 0, 5)
	f(3, 0, 7)
	f(4, 0, 9)
	f(9, 0, 18)
	f(3, 0.1, 9)
	f(3, 0.3, 11)
	f(9, 0.3, 27)
}

// isolate turns the world into the baseline.
func (w *world) isolate() {
	w.alone = true
	for _, n := range w.nodes {
		n.start()
	}
}

func dieOneAtATime(t *testing.T, w *world, loss float64) (failures int, spread time.Duration) {
	t.Helper()
	w.loss = loss
	w.roundRobin(0)
	w.run(time.Second)
	b := w.backends[0]
	b.dead = true
	first := time.Time{}
	all := w.runUntil(20*time.Second, func() bool {
		if first.IsZero() && w.open(0) > 0 {
			first = w.now
		}
		return w.open(0) == len(w.nodes)
	})
	if !all {
		t.Fatalf("only %d of %d nodes open", w.open(0), len(w.nodes))
	}
	return b.failures, w.now.Sub(first)
}

// Many requests at once: what is in flight when the first node opens fails too.
func TestFigureDeadBackendUnderLoad(t *testing.T) {
	f := func(nodes int, perSecond float64, latency time.Duration) {
		t.Helper()
		worst, worstExcess, inFlight, longest := 0, 0, 0, time.Duration(0)
		for seed := range uint64(worlds) {
			w := newWorld(seed, nodes, 1)
			b := w.backends[0]
			b.latency = latency
			for _, n := range w.nodes {
				n.load(0, perSecond)
			}
			w.run(time.Second)
			b.dead = true
			w.runUntil(20*time.Second, func() bool { return w.open(0) > 0 })
			first, then := w.now, b.inFlight
			if !w.runUntil(20*time.Second, func() bool { return w.open(0) == nodes }) {
				t.Fatalf("only %d of %d nodes open", w.open(0), nodes)
			}
			longest = max(longest, w.now.Sub(first))
			w.run(latency)
			worst, inFlight = max(worst, b.failures), max(inFlight, then)
			worstExcess = max(worstExcess, b.failures-then)
		}
		t.Logf("%d nodes, %4.0f requests/s each, %v: at most %d failures, %d beyond those in flight at the first opening (at most %d), %v from first to all open",
			nodes, perSecond, latency, worst, worstExcess, inFlight, longest)
		// While the word travels, up to 2 ms, more requests start.
		started := int(perSecond * float64(nodes) * 0.002 * 3)
		if limit := 7*nodes/3 + 3 + started; worstExcess > limit {
			t.Errorf("%d failures beyond those in flight, want at most %d", worstExcess, limit)
		}
		if longest > 500*time.Millisecond {
			t.Errorf("%v from first to all open", longest)
		}
	}
	f(3, 50, 5*time.Millisecond)
	f(3, 500, 5*time.Millisecond)
	f(3, 500, 50*time.Millisecond)
	f(9, 500, 50*time.Millisecond)
}

// One node is cut off from a backend that fails once in a hundred times for the
// others: they must go on using it.
func TestFigureCutOffNodeAndBackgroundErrors(t *testing.T) {
	f := func(nodes int, perSecond, errors float64, restarts bool) {
		t.Helper()
		const span = 5 * time.Minute
		shut, refused := 0.0, 0.0
		for seed := range uint64(2) {
			w := newWorld(seed, nodes, 1)
			w.loss = 0.05
			w.backends[0].errors = errors
			for _, n := range w.nodes {
				n.load(0, perSecond)
			}
			last := w.nodes[nodes-1]
			last.cut = true
			if restarts {
				w.every(40*time.Second, last.start)
			}
			w.run(span)
			for _, n := range w.nodes[:nodes-1] {
				shut = max(shut, n.shutFor(0, span))
				refused = max(refused, float64(n.refused)/float64(n.asked))
			}
		}
		t.Logf("%d nodes, %3.0f requests/s each, %2.0f %% errors, one cut off, restarts %v: the others open %.3f %% of the time, %.3f %% of their requests refused",
			nodes, perSecond, 100*errors, restarts, 100*shut, 100*refused)
		if shut > 0.01 || refused > 0.01 {
			t.Errorf("open %.2f %% of the time, refused %.2f %%, want at most 1 %%", 100*shut, 100*refused)
		}
	}
	for _, perSecond := range []float64{10, 50, 100} {
		f(3, perSecond, 0.01, false)
	}
	f(2, 50, 0.01, false)
	f(4, 50, 0.01, false)
	f(9, 50, 0.01, false)
	f(3, 50, 0.01, true)
	f(3, 50, 0, false) // healthy for two, unreachable from one
	f(3, 50, 0, true)
}

// Errors by chance alone, nobody cut off. The price of rule 3 shows where a tenth
// of the requests fails.
func TestFigureBackgroundErrors(t *testing.T) {
	f := func(errors, limit float64) {
		t.Helper()
		const span = 5 * time.Minute
		shut, lone := 0.0, 0.0
		for seed := range uint64(3) {
			for _, alone := range []bool{false, true} {
				w := newWorld(seed, 3, 1)
				to := &shut
				if alone {
					w.isolate()
					to = &lone
				}
				w.backends[0].errors = errors
				for _, n := range w.nodes {
					n.load(0, 50)
				}
				w.run(span)
				for _, n := range w.nodes {
					*to += n.shutFor(0, span) / 9
				}
			}
		}
		t.Logf("3 nodes, 50 requests/s each, %2.0f %% errors: open %.2f %% of the time (independent: %.2f %%)", 100*errors, 100*shut, 100*lone)
		if shut > limit {
			t.Errorf("open %.2f %% of the time, want at most %.2f %%", 100*shut, 100*limit)
		}
	}
	f(0.01, 0.001)
	f(0.05, 0.01)
	f(0.10, 0.05)
}

// What a backend that is down sees while nobody uses it: one probe in each
// interval from the whole cluster, not one from each node.
func TestFigureProbes(t *testing.T) {
	f := func(nodes int, latency time.Duration, loss float64, sick bool) {
		t.Helper()
		const span = 2 * time.Minute
		most, lone, recovery := 0, 0, time.Duration(0)
		for seed := range uint64(4) {
			w := newWorld(seed, nodes, 1)
			most = max(most, probesWhileDead(w, latency, loss, span))
			w.backends[0].dead = false
			w.nodes[0].cut = sick
			w.nodes[0].group.Tick()
			began := w.now
			healthy := nodes
			if sick {
				healthy--
			}
			if !w.runUntil(time.Minute, func() bool { return nodes-w.open(0) >= healthy }) {
				t.Fatalf("%d nodes still have it open", w.open(0))
			}
			recovery = max(recovery, w.now.Sub(began))
			alone := newWorld(seed, nodes, 1)
			alone.isolate()
			lone = max(lone, probesWhileDead(alone, latency, 0, span))
		}
		intervals := int(span / simConfig().openFor())
		t.Logf("%d nodes, answers after %v, %2.0f %% lost, one of them sick %v: at most %d probes in %d intervals (independent: %d), all use it again within %v",
			nodes, latency, 100*loss, sick, most, intervals, lone, recovery)
		if limit := intervals + int(float64(intervals)*loss*float64(nodes)); most > limit {
			t.Errorf("%d probes in %d intervals, want at most %d", most, intervals, limit)
		}
	}
	f(3, 5*time.Millisecond, 0, false)
	f(3, 2*time.Second, 0, false) // slow to fail
	f(9, 5*time.Millisecond, 0, false)
	f(9, 5*time.Millisecond, 0.1, false)
	f(3, 5*time.Millisecond, 0, true)
}

func probesWhileDead(w *world, latency time.Duration, loss float64, span time.Duration) int {
	b := w.backends[0]
	w.loss, b.latency, b.dead = loss, latency, true
	for _, n := range w.nodes {
		n.load(0, 50)
	}
	w.runUntil(time.Minute, func() bool { return w.open(0) == len(w.nodes) })
	b.probes = nil
	w.run(span)
	return len(b.probes)
}

// A node that is itself broken must not take healthy backends from the others.
func TestFigureSickNode(t *testing.T) {
	const span = 5 * time.Minute
	shut, silent := 0.0, 0
	for seed := range uint64(3) {
		w := newWorld(seed, 3, 4)
		for _, n := range w.nodes {
			for i := range w.backends {
				n.load(i, 20)
			}
		}
		for _, b := range w.backends {
			b.errors = 0.01
		}
		w.run(10 * time.Second)
		w.nodes[2].cut = true
		w.every(time.Second, func() {
			if w.nodes[2].group.Muted() {
				silent++
			}
		})
		w.run(span)
		for _, n := range w.nodes[:2] {
			for i := range w.backends {
				shut = max(shut, n.shutFor(i, span))
			}
		}
	}
	t.Logf("a sick node beside two healthy ones, four upstreams: the others open %.3f %% of the time; it kept silent for %d s a run", 100*shut, silent/3)
	if shut > 0.01 || silent == 0 {
		t.Errorf("open %.2f %% of the time, silent %d s", 100*shut, silent)
	}
}

// Restarts, addresses that come and go, loss, errors, an outage: whatever
// happens, once all is well again all nodes use all backends, and soon after a
// backend died nobody does.
func TestChaosConverges(t *testing.T) {
	for _, nodes := range []int{2, 3, 4, 9} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			for seed := range uint64(4) {
				chaos(t, newWorld(seed, nodes, 3), seed)
			}
		})
	}
}

func chaos(t *testing.T, w *world, seed uint64) {
	t.Helper()
	w.loss = 0.2
	for _, n := range w.nodes {
		for i := range w.backends {
			n.load(i, 20)
		}
	}
	stop := w.now.Add(2 * time.Minute)
	w.every(3*time.Second, func() {
		if w.now.After(stop) {
			return
		}
		n, i := w.nodes[w.rand.IntN(len(w.nodes))], w.rand.IntN(len(w.backends))
		switch w.rand.IntN(6) {
		case 0:
			n.start()
		case 1:
			n.breakers[i].Forget()
			n.use(i)
		case 2:
			n.cut = !n.cut
		case 3:
			w.backends[i].dead = !w.backends[i].dead
		case 4:
			w.backends[i].errors = w.rand.Float64() / 2
		case 5:
			n.down = !n.down && len(w.members()) > 1
			if !n.down {
				n.start()
			}
		}
	})
	w.run(2 * time.Minute)
	for _, n := range w.nodes {
		n.cut = false
		if n.down {
			n.start()
		}
	}
	for i, b := range w.backends {
		b.errors, b.dead = 0, i == 0
	}
	w.run(90 * time.Second)
	for _, n := range w.nodes {
		for i, b := range n.breakers {
			if isShut := b.state >= HalfOpen; isShut != (i == 0) {
				t.Errorf("seed %d: %s holds backend %d %v", seed, n.name, i, b.state)
			}
		}
		if n.group.rows > len(w.backends)*(w.born+1) {
			t.Errorf("seed %d: %d rows are kept", seed, n.group.rows)
		}
	}
}
