package push

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// everyStep runs a push on three hosts once for every step of the protocol, and
// lets fault happen at that step.
func everyStep(t *testing.T, fault func(w *world), check func(w *world, report *Report)) {
	t.Helper()
	for _, deaf := range []bool{false, true} {
		for step := range countSteps(t, deaf) {
			t.Run(fmt.Sprintf("deaf=%t/step=%d", deaf, step+1), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { oneStep(t, step+1, deaf, fault, check) })
			})
		}
	}
}

// countSteps counts those of a push that nothing disturbs; a deaf cluster has no
// announcements, only what the coordinator tells each.
func countSteps(t *testing.T, deaf bool) (steps int) {
	t.Helper()
	inWorld(t, func(t *testing.T, w *world) {
		w.deaf = deaf
		if r := w.on(0).push.Push(t.Context(), []byte("new")); r.Outcome != Committed {
			t.Fatalf("a push that nothing disturbs: %+v", r)
		}
		time.Sleep(time.Second)
		w.mu.Lock()
		steps = w.steps
		w.mu.Unlock()
	})
	if steps < 20 {
		t.Fatalf("the protocol has only %d steps", steps)
	}
	return steps
}

func oneStep(t *testing.T, step int, deaf bool, fault func(w *world), check func(w *world, report *Report)) {
	w := newWorld(t, 3)
	w.deaf, w.log = deaf, t.Output()
	w.at[step] = func() { fault(w) }
	coordinator := w.on(0)
	done := make(chan Report, 1)
	go func() { done <- coordinator.push.Push(w.ctx, []byte("new")) }()
	report := <-done
	time.Sleep(2 * time.Minute) // for everything to heal
	w.calm()
	if coordinator.isDead() {
		check(w, nil) // whatever it would have said, nobody heard
	} else {
		check(w, &report)
	}
	w.wholly()
	w.usable()
}

// wholly checks that nobody ever ran anything but the old or the new, changed
// once at most, and runs what its file says.
func (w *world) wholly() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, h := range w.hosts {
		ran := slices.Compact(slices.Clone(h.ran))
		if !slices.Equal(ran, []string{"old"}) && !slices.Equal(ran, []string{"old", "new"}) {
			w.t.Errorf("host %d ran %v", i, h.ran)
		}
		if !h.current.dead && h.file != h.current.runs {
			w.t.Errorf("host %d runs %q, its file says %q", i, h.current.runs, h.file)
		}
	}
}

// usable checks that nothing is left that stands in the way of the next push.
func (w *world) usable() {
	w.t.Helper()
	if held := w.held(); len(held) > 0 {
		w.t.Errorf("hosts %v still hold changes back", held)
	}
	via := w.on(1)
	if via.isDead() {
		via = w.on(2)
	}
	r := via.push.Push(w.ctx, []byte("newer"))
	if w.same() != "newer" && r.Outcome == Committed {
		w.t.Errorf("the next push says it is committed, but %v run", w.running())
	}
	if r.Outcome != Committed && !drifted(r) {
		w.t.Errorf("the next push: %+v", r)
	}
}

// drifted tells whether a push was refused because a member runs something else.
func drifted(r Report) bool {
	return r.Outcome == Refused && slices.ContainsFunc(r.Members, func(m Member) bool { return strings.Contains(m.Error, "the push is based on") })
}

// kept checks what the outcome promises the three hosts that were there.
func kept(w *world, report *Report) {
	w.t.Helper()
	w.t.Logf("report %+v, now %v", report, w.running())
	switch {
	case report == nil:
		if w.same() == "" {
			w.t.Errorf("the coordinator died, and the others differ: %v", w.running())
		}
	case report.Outcome == Refused:
		if ran := w.everRan("new"); len(ran) > 0 {
			w.t.Errorf("refused, but hosts %v ran it: %+v", ran, report)
		}
	default:
		for i, runs := range w.running() {
			if i < 3 && runs != "new" {
				w.t.Errorf("%s, but in the end host %d runs %s: %+v", report.Outcome, i, runs, report)
			}
		}
		if report.Outcome == Partial && !slices.ContainsFunc(report.Members, func(m Member) bool { return m.Result != Committed }) {
			w.t.Errorf("partial, but nobody is named: %+v", report)
		}
	}
}

func TestMemberDiesAtAnyStep(t *testing.T) {
	for victim := range 3 {
		t.Run(fmt.Sprint("host ", victim), func(t *testing.T) {
			everyStep(t, func(w *world) { w.kill(victim) }, kept)
		})
	}
}

func TestMemberRestartsAtAnyStep(t *testing.T) {
	for victim := range 3 {
		t.Run(fmt.Sprint("host ", victim), func(t *testing.T) {
			everyStep(t, func(w *world) { w.restart(victim) }, kept)
		})
	}
}

func TestMemberLeavesAtAnyStep(t *testing.T) {
	for victim := range 3 {
		t.Run(fmt.Sprint("host ", victim), func(t *testing.T) {
			everyStep(t, func(w *world) { w.leave(victim) }, kept)
		})
	}
}

// Cut off too briefly to be noticed, and for a minute.
func TestMemberIsCutOffAtAnyStep(t *testing.T) {
	for _, long := range []time.Duration{4 * time.Second, time.Minute} {
		for victim := range 3 {
			t.Run(fmt.Sprintf("host %d for %s", victim, long), func(t *testing.T) {
				everyStep(t, func(w *world) { w.cut(victim, long) }, kept)
			})
		}
	}
}

// A member whose messages are late beyond every limit: nothing is lost, but all
// comes after the others gave up, and overtakes itself.
func TestMemberIsLateAtAnyStep(t *testing.T) {
	for _, by := range []time.Duration{2 * time.Second, 6 * time.Second, 12 * time.Second} {
		for victim := range 3 {
			t.Run(fmt.Sprintf("host %d by %s", victim, by), func(t *testing.T) {
				everyStep(t, func(w *world) { w.slowDown(victim, by, 3*time.Second) }, kept)
			})
		}
	}
}

// A member that joins is either prepared with the others or comes too late, and
// then keeps its file: what the report does not name is not promised.
func TestMemberJoinsAtAnyStep(t *testing.T) {
	everyStep(t, func(w *world) { w.addHost() }, func(w *world, report *Report) {
		if report.Outcome == Refused {
			w.t.Errorf("a newcomer stopped the push: %+v", report)
		}
		kept(w, report)
		named := slices.ContainsFunc(report.Members, func(m Member) bool { return m.Name == "n3.0" })
		if runs := w.running()[3]; named != (runs == "new") {
			w.t.Errorf("the newcomer runs %s, named in the report: %t", runs, named)
		}
	})
}

// Two at once: they may stop each other, but never mix.
func TestTwoPushesAtOnce(t *testing.T) {
	for step := range countSteps(t, false) {
		t.Run(fmt.Sprint("step ", step+1), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { twoPushes(t, step+1) })
		})
	}
}

func twoPushes(t *testing.T, step int) {
	w := newWorld(t, 3)
	w.log = t.Output()
	second := make(chan Report, 1)
	w.at[step] = func() {
		go func() { second <- w.on(1).push.Push(w.ctx, []byte("other")) }()
	}
	a := w.on(0).push.Push(w.ctx, []byte("new"))
	time.Sleep(time.Second)
	if w.calm() {
		return // the messages took another order, and there was one step less
	}
	b := <-second
	t.Logf("first %+v\nsecond %+v", a, b)
	want := "old"
	if a.Outcome == Committed {
		want = "new"
	}
	if b.Outcome == Committed {
		want = "other"
	}
	if w.same() != want || a.Outcome == Partial || b.Outcome == Partial {
		t.Errorf("%s and %s, and %v run", a.Outcome, b.Outcome, w.running())
	}
	if a.Outcome == Refused && len(w.everRan("new")) > 0 || b.Outcome == Refused && len(w.everRan("other")) > 0 {
		t.Errorf("hosts ran what was refused: %v, %v", w.everRan("new"), w.everRan("other"))
	}
	if a.Outcome == Refused && !slices.ContainsFunc(a.Members, func(m Member) bool { return m.Result == Busy || strings.Contains(m.Error, "based on") }) {
		t.Errorf("refused without naming the other push: %+v", a)
	}
	w.usable()
}

// inWorld runs a test on three hosts.
func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.log = t.Output()
		test(t, w)
	})
}

// member finds one in a report.
func (r Report) member(t *testing.T, name string) Member {
	t.Helper()
	i := slices.IndexFunc(r.Members, func(m Member) bool { return m.Name == name })
	if i < 0 {
		t.Fatalf("the report does not name %s: %+v", name, r)
	}
	return r.Members[i]
}

// Who refuses is named, with the reason, and nobody switches.
func TestRefusals(t *testing.T) {
	f := func(what string, prepare func(w *world), text string, want Result, reason string) {
		t.Helper()
		inWorld(t, func(t *testing.T, w *world) {
			prepare(w)
			r := w.on(0).push.Push(w.ctx, []byte(text))
			m := r.member(t, "n2.0")
			if r.Outcome != Refused || m.Result != want || !strings.Contains(m.Error, reason) {
				t.Errorf("%s: %+v, want n2.0 %s for %q", what, r, want, reason)
			}
			if w.running()[0] != "old" || w.running()[1] != "old" {
				t.Errorf("%s: %v run", what, w.running())
			}
			time.Sleep(time.Second)
			if held := w.held(); len(held) > 0 && want != Busy {
				t.Errorf("%s: hosts %v still hold changes back after a refusal", what, held)
			}
		})
	}
	f("a fault", func(*world) {}, "broken", Refused, "routes[0].rate_limit.rps: must be at least 1, got 0")
	f("a read-only file", func(w *world) { w.hosts[2].readOnly = true }, "new", Refused, "read-only")
	f("another base", func(w *world) { w.hosts[2].current.runs = "drifted" }, "new", Refused, "runs drifted, the push is based on old")
	f("another protocol", func(w *world) { w.hosts[2].protocol = 2 }, "new", Refused, "speaks version 1 of the push protocol, the other side version 2")
	f("a dead member", func(w *world) { w.kill(2) }, "new", Silent, "connection refused")
	f("a member cut off", func(w *world) { w.cut(2, time.Minute) }, "new", Silent, "i/o timeout")
	f("a member that is late", func(w *world) { w.slowDown(2, 20*time.Second, time.Minute) }, "new", Silent, "no answer in time")
	f("a member that is busy", func(w *world) {
		w.on(2).push.take(message{Protocol: protocol, Kind: kindPrepare, Push: "x", From: "n1.0", Base: "old", Text: []byte("y")}.encode())
	}, "new", Busy, "prepared for push x of n1.0")
}

// What cannot even be asked for.
func TestPushRefusesAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		f := func(text []byte, want string) {
			t.Helper()
			r := w.on(0).push.Push(w.ctx, text)
			if r.Outcome != Refused || !strings.Contains(r.Error, want) {
				t.Errorf("got %+v, want refused for %q", r, want)
			}
		}
		f(nil, "must have 1 to 4194304 bytes, got 0")
		f(make([]byte, MaxText+1), "got 4194305")
		w.on(0).push.pushing.Lock()
		f([]byte("new"), "busy: this node is pushing another configuration")
		w.on(0).push.pushing.Unlock()
		w.on(0).push.exposed = "cluster.secret_key: must be set"
		f([]byte("new"), "cluster.secret_key: must be set")
	})
}

// The largest text still fits a message.
func TestLargestText(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		if r := w.on(0).push.Push(w.ctx, []byte(strings.Repeat("x", MaxText))); r.Outcome != Committed {
			t.Errorf("got %+v", r.Members)
		}
	})
}

// Until it is decided a push can be called off; then it goes on.
func TestCallingOff(t *testing.T) {
	called, steps := 0, countSteps(t, false)
	for step := range steps {
		inWorld(t, func(t *testing.T, w *world) {
			ctx, cancel := context.WithCancel(w.ctx)
			w.at[step+1] = cancel
			r := w.on(0).push.Push(ctx, []byte("new"))
			time.Sleep(time.Second)
			want := map[Result]string{Refused: "old", Committed: "new"}[r.Outcome]
			if w.same() != want || len(w.held()) > 0 {
				t.Errorf("step %d: %s, and %v run; %v held", step+1, r.Outcome, w.running(), w.held())
			}
			if r.Outcome == Refused {
				called++
			}
		})
	}
	if called == 0 || called == steps {
		t.Errorf("%d of %d were called off, want some and not all", called, steps)
	}
}

// A member free again after ten seconds takes part in the next push, and a
// prepared text nobody decides on is forgotten after an hour.
func TestPreparedAndNeverDecided(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.on(2).push.take(message{Protocol: protocol, Kind: kindPrepare, Push: "x", From: "ghost", Base: "old", Text: []byte("y")}.encode())
		time.Sleep(holdFor - time.Second)
		if held := w.held(); !slices.Equal(held, []int{2}) {
			t.Fatalf("after nine seconds %v hold", held)
		}
		time.Sleep(2 * time.Second)
		if held := w.held(); len(held) > 0 || w.kept(2) == "" {
			t.Errorf("after eleven seconds %v hold; what is kept prepared: %q", held, w.kept(2))
		}
		time.Sleep(memory)
		if w.kept(2) != "" {
			t.Error("what was prepared is kept for more than an hour")
		}
		if r := w.on(0).push.Push(w.ctx, []byte("new")); r.Outcome != Committed {
			t.Errorf("the next push: %+v", r)
		}
	})
}

// Half a cluster decides, the other half has moved on before it hears: it stays
// where it is, and that shows as drift.
func TestDecisionHeardTooLate(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.on(2).push.take(message{Protocol: protocol, Kind: kindPrepare, Push: "x", From: "n0.0", Base: "old", Text: []byte("y")}.encode())
		time.Sleep(holdFor + time.Second)
		w.mu.Lock()
		w.hosts[2].current.runs, w.hosts[2].file = "own", "own"
		w.mu.Unlock()
		row := w.on(0).push.ledger.add(Decision{Push: "x", Base: "old", Hash: "y", At: time.Now()})
		w.on(0).push.announce(row)
		time.Sleep(time.Second)
		if got := w.running()[2]; got != "own" || w.kept(2) != "" {
			t.Errorf("runs %s, keeps %q prepared; want own, and nothing", got, w.kept(2))
		}
	})
}

// A report that was partial is completed when the missing member confirms.
func TestLateConfirmationCompletesTheReport(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := w.on(0)
		go func() {
			for len(p.push.ledger.decisions()) == 0 {
				time.Sleep(100 * time.Microsecond)
			}
			w.cut(2, 30*time.Second)
		}()
		r := p.push.Push(w.ctx, []byte("new"))
		if r.Outcome != Partial || r.member(t, "n2.0").Result != Unconfirmed || r.member(t, "n2.0").Error == "" {
			t.Fatalf("got %+v, want partial for n2.0 and why", r)
		}
		time.Sleep(time.Minute)
		if got := p.push.Recent(); len(got) != 1 || got[0].Outcome != Committed || w.same() != "new" {
			t.Errorf("after healing %+v, and %v run", got, w.running())
		}
		others := w.on(1).push.Recent()
		if len(others) != 1 || others[0].Outcome != Committed || others[0].Coordinator != "n0.0" || others[0].Hash != "new" {
			t.Errorf("another member shows %+v", others)
		}
	})
}

// A disk that fails after everything was prepared makes the push partial; the
// member switches once it can.
func TestCommitThatFailsIsTriedAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := &seat{self: "me", config: w.on(0), log: zerologFor(t)}
		now := time.Now()
		c := &brokenDisk{broken: true}
		s.pending = &pending{push: "x", base: "old", candidate: c, held: true, release: now.Add(holdFor), forget: now.Add(memory)}
		if got := s.decided(Decision{Push: "x"}); got.Result != Failed || got.Error != "disk full" || c.released != 1 {
			t.Errorf("got %+v, released %d times", got, c.released)
		}
		c.broken = false
		if got := s.decided(Decision{Push: "x"}); got.Result != Committed || s.pending != nil {
			t.Errorf("got %+v", got)
		}
		if got := s.decided(Decision{Push: "x"}); got.Result != Committed {
			t.Errorf("asked again: %+v", got)
		}
		if got := s.decided(Decision{Push: "y"}); got.Result != Failed {
			t.Errorf("a push it has not prepared: %+v", got)
		}
	})
}

// Who leaves in order is missed at once: nobody decides for a cluster that is
// not the one that was asked.
func TestMemberThatLeavesBeforeTheDecision(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.slowDown(1, time.Second, 5*time.Second) // its answer is awaited while n2.0, prepared, goes
		w.later(time.Second, func() { w.leave(2) })
		r := w.on(0).push.Push(w.ctx, []byte("new"))
		if m := r.member(t, "n2.0"); r.Outcome != Refused || m.Result != Gone || r.TookMS > 3000 {
			t.Errorf("got %+v, want refused within 3 s for n2.0, which is gone", r)
		}
	})
}

// Members that read one text as two configurations must not run it.
func TestMembersThatDisagreeOnTheHash(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		r := newRound(w.on(0).push, []byte("new"))
		r.members = map[string]*Member{"a": {Name: "a"}, "b": {Name: "b"}}
		r.notePrepared(message{From: "a", Result: Prepared, Hash: "1"})
		r.notePrepared(message{From: "b", Result: Prepared, Hash: "2"})
		if m := r.members["b"]; m.Result != Refused || m.Error != "understands it as 2, another member as 1" {
			t.Errorf("got %+v", m)
		}
	})
}

// The announcement alone is enough: it may arrive where the coordinator's
// message does not.
func TestAnnouncementIsEnough(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := w.on(0).push
		w.on(2).push.take(message{Protocol: protocol, Kind: kindPrepare, Push: "x", From: "n0.0", Base: "old", Text: []byte("new")}.encode())
		time.Sleep(time.Second)
		p.announce(p.ledger.add(Decision{Push: "x", Base: "old", Hash: "new", At: time.Now()}))
		time.Sleep(time.Second)
		if got := w.running()[2]; got != "new" {
			t.Errorf("runs %s after the announcement", got)
		}
	})
	inWorld(t, func(t *testing.T, w *world) {
		announced := false
		p := w.on(0).push
		p.announce = func([]byte) { announced = true }
		if p.Push(w.ctx, []byte("new")); !announced {
			t.Error("the decision was not announced")
		}
	})
}

// The coordinator's node does not look its own decision up: it waits until it is
// told, when another has confirmed.
func TestCoordinatorIsNotTheFirst(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := w.on(0).push
		p.announce = func([]byte) {
			_ = p.ledger.Merge(nil) // wakes it up, decided and before anybody was told
			time.Sleep(time.Second)
			if w.running()[0] != "old" {
				t.Error("the coordinator switched first")
			}
		}
		if r := p.Push(w.ctx, []byte("new")); r.Outcome != Committed {
			t.Errorf("got %+v", r)
		}
	})
}

// A member that missed a decision follows it before it takes part in the next
// push, which is based on it.
func TestMissedDecisionComesBeforeTheNextPush(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := w.on(2)
		send := func(push, base, text string) {
			p.push.take(message{Protocol: protocol, Kind: kindPrepare, Push: push, From: "n0.0", Base: base, Text: []byte(text)}.encode())
			time.Sleep(time.Second)
		}
		send("x", "old", "new")
		time.Sleep(holdFor)
		_ = p.push.ledger.Rows.Merge(w.on(0).push.ledger.add(Decision{Push: "x", Base: "old", Hash: "new", At: time.Now()}))
		send("y", "new", "newer")
		if p.Running() != "new" || w.kept(2) != "y" {
			t.Errorf("runs %s, prepared %q; want new, and y", p.Running(), w.kept(2))
		}
	})
}
