package breaker

import (
	"strings"
	"testing"
	"time"
)

// What a node alone does: rule 1, and the trial of rule 5.
func TestLoneNode(t *testing.T) {
	f := func(script, want string) {
		t.Helper()
		n := newLab(t, "a").nodes[0]
		n.play(script)
		var states []string
		for _, c := range n.changes {
			state, _, _ := strings.Cut(c, "/")
			states = append(states, state)
		}
		if got := strings.Join(states, " "); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
	f("ssss", "")
	f("ffsffsff", "")
	f("fffx", "open")
	f("fffxx", "open")
	f("fnfnf", "open")
	f("fffws", "open half_open closed")
	f("fffwaxSs", "open half_open closed")
	f("fffwfxx", "open half_open open")
	f("fffwfws", "open half_open open half_open closed")
	f("fffwns", "open half_open closed")
	f("fffwaNs", "open half_open closed")
	f("afffSx", "open")                       // a late success does not close
	f("aafffwsFs", "open half_open closed")   // a late failure does not count
	f("fffws.f.f.s", "open half_open closed") // the count starts afresh
	f("aaaFFSsff", "")                        // a success among failures clears
	f("fffwaxxFxw", "open half_open open")    // one trial at a time
	f("fffwaxwaxFS", "open half_open closed") // a trial that never ends holds nobody for ever
}

func TestFailuresAreAnnouncedAtTwo(t *testing.T) {
	l := newLab(t, "a", "b")
	a, b := l.nodes[0], l.nodes[1]
	f := func(play string, want claim) {
		t.Helper()
		a.play(play)
		if got := b.heard("a"); got != want {
			t.Errorf("after %s: b heard %d, want %d", play, got, want)
		}
	}
	f("f", nothing)
	f("f", failing)
	f("s", well)
	f(".fff", isOpen)
	f("wws", well)
}

// A backend that fails now and then must not cost a message each time.
func TestFailingIsAnnouncedAtAPace(t *testing.T) {
	l := newLab(t, "a", "b")
	for range 100 {
		l.nodes[0].play("ffs")
	}
	if got := l.nodes[0].sent; got > 2 {
		t.Errorf("%d messages in one moment, want at most 2", got)
	}
}

func TestClientAbortsNeverCount(t *testing.T) {
	l := newLab(t, "a", "b")
	l.nodes[0].play("nnnnnnnnnnnn")
	l.want("closed closed")
	if l.nodes[0].sent != 0 {
		t.Error("they were announced")
	}
}

func TestRatio(t *testing.T) {
	f := func(ratio float64, script, want string) {
		t.Helper()
		l := newLab(t, "a")
		c := labConfig()
		c.FailureRatio = ratio
		l.nodes[0].Configure(c)
		l.nodes[0].play(script)
		if got := l.nodes[0].state.String(); got != want {
			t.Errorf("ratio %v, %s: %s, want %s", ratio, script, got, want)
		}
	}
	f(0.5, "fsfsf", "open")
	f(0.5, "fsfs", "closed") // too few
	f(0.5, "ssssfsfsf", "closed")
	f(0.3, "ssssfsfsf", "open")
	f(0.5, "fsfswwf", "closed") // out of the window
	f(0, "fsfsfsfsfs", "closed")
}

// Rule 2.
func TestSuspicion(t *testing.T) {
	f := func(play, want string) {
		t.Helper()
		l := newLab(t, "a", "b", "c", "d")
		l.nodes[0].play("fff")
		l.want("open suspect suspect suspect")
		l.nodes[1].play(play)
		if got := l.nodes[1].state.String(); got != want {
			t.Errorf("%s: b is %s, want %s", play, got, want)
		}
	}
	f("s", "closed")
	f("f", "open")
	f("n", "suspect")
	f("nf", "open")
	f("sff", "closed") // once cleared the threshold counts again
}

func TestOnlyRequestsStartedAfterwardsDecide(t *testing.T) {
	l := newLab(t, "a", "b", "c", "d")
	a, b, c := l.nodes[0], l.nodes[1], l.nodes[2]
	b.play("a")
	c.play("a")
	a.play("fff")
	b.play("S")
	c.play("F")
	l.want("open suspect suspect suspect")
	b.play("s")
	l.want("open closed suspect suspect")
	c.play("f")
	if c.state != Open {
		t.Errorf("c is %v", c.state)
	}
}

func TestOneNodeCannotRaiseSuspicionOverAndOver(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	a, b := l.nodes[0], l.nodes[1]
	open := func(want string) {
		t.Helper()
		a.play("fff")
		if got := b.state.String(); got != want {
			t.Errorf("b is %s, want %s", got, want)
		}
		b.play("s")
		l.pass(2 * time.Second)
		a.play("s") // its trial
		l.pass(time.Second)
	}
	open("suspect")
	open("closed")
	l.pass(rearmAfter)
	open("suspect")
}

func TestSuspicionEndsWithItsReason(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	l.nodes[0].play("fff")
	l.want("open suspect suspect")
	l.nodes[0].play("wws")
	l.want("closed closed closed")
}

// Rule 3.
func TestMajority(t *testing.T) {
	type step struct{ node, play string }
	f := func(names, want string, steps ...step) {
		t.Helper()
		l := newLab(t, strings.Fields(names)...)
		for _, s := range steps {
			for _, n := range l.nodes {
				if n.name == s.node {
					n.play(s.play)
				}
			}
		}
		var got []string
		for _, n := range l.nodes {
			got = append(got, n.state.String())
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%v: %s, want %s", steps, g, want)
		}
	}
	f("a", "closed", step{"a", "ff"}) // a node alone is no majority
	f("a b", "closed closed", step{"a", "ff"})
	f("a b", "open open", step{"a", "ff"}, step{"b", "ff"})
	f("a b c", "open open open", step{"a", "ff"}, step{"b", "ff"})
	f("a b c d", "closed closed closed closed", step{"a", "ff"}, step{"b", "ff"})
	f("a b c d", "open open open open", step{"a", "ff"}, step{"b", "ff"}, step{"c", "ff"})
	// A node that has been open for long and was refuted does not lend its voice.
	f("a b c", "open closed closed", step{"a", "fff"}, step{"b", "s"}, step{"c", "s"}, step{"b", "ff"})
}

// b opened by the word of a and one failure. That is no second opinion.
func TestConclusionsAreNoVoices(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	l.nodes[0].play("fff")
	l.nodes[1].play("f")
	l.want("open open suspect")
}

// What no threshold opened is verified soon, but only once.
func TestMajorityIsVerifiedSoon(t *testing.T) {
	l, order := openAll(t, "a", "b", "c")
	l.pass(soon - time.Millisecond)
	order[0].play("x")
	l.pass(time.Millisecond)
	order[0].play("f")
	l.pass(time.Second - time.Millisecond)
	l.order()[0].play("x")
	l.pass(time.Millisecond)
	l.order()[0].play("s")
}

func TestRowsOfTheDeadDoNotCount(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	l.nodes[0].play("ff")
	l.nodes[0].gone = true
	l.nodes[1].play("ff")
	if got := l.nodes[2].state; got != Closed {
		t.Errorf("c is %v by the word of a node that is gone", got)
	}
}

// soon is when what a majority opened is probed first.
const soon = time.Second / verifySooner

// openAll opens everywhere and returns the nodes in the order of their turns.
func openAll(t *testing.T, names ...string) (*lab, []*labNode) {
	t.Helper()
	l := newLab(t, names...)
	for _, n := range l.nodes[:len(names)/2+1] {
		n.play("ff")
	}
	for _, n := range l.nodes {
		if n.state != Open {
			t.Fatalf("%s is %v", n.name, n.state)
		}
	}
	return l, l.order()
}

// Rule 4.
func TestOneNodeProbes(t *testing.T) {
	l, order := openAll(t, "a", "b", "c")
	for _, n := range l.nodes {
		n.play("x")
	}
	l.pass(soon)
	if got := l.ready(); got != order[0].name {
		t.Fatalf("%q may probe, want %s", got, order[0].name)
	}
	order[0].play("a")
	l.pass(900 * time.Millisecond) // a slow probe: the others wait for it
	if got := l.ready(); got != "" && got != order[0].name {
		t.Errorf("%q may probe beside it", got)
	}
	order[0].play("F")
	l.pass(900 * time.Millisecond)
	if got := l.ready(); got != "" {
		t.Errorf("%q may probe again already", got)
	}
	l.pass(100 * time.Millisecond)
	if got := l.ready(); got != l.order()[0].name {
		t.Errorf("%q may probe, want %s", got, l.order()[0].name)
	}
}

func TestIdleProberIsSteppedOver(t *testing.T) {
	l, order := openAll(t, "a", "b", "c")
	l.pass(soon)
	order[1].play("x")
	order[2].play("x")
	l.pass(stepOver)
	order[2].play("x")
	order[1].play("s")
	l.want("closed closed closed")
}

func TestDeadProberIsSteppedOver(t *testing.T) {
	l, order := openAll(t, "a", "b", "c")
	l.pass(soon)
	order[0].play("a") // and dies on it
	order[0].gone = true
	l.pass(stepOver)
	if l.ready() == "" {
		t.Error("nobody takes its place")
	}
}

// Every attempt has its own order, so that a sick node does not stand first for ever.
func TestRankChangesWithTheAttempt(t *testing.T) {
	members := []string{"a", "b", "c"}
	first := map[string]int{}
	for attempt := range uint64(300) {
		seen := map[int]string{}
		for _, m := range members {
			seen[rank(m, backend, attempt, members)] = m
		}
		if len(seen) != 3 {
			t.Fatalf("attempt %d: ranks %v", attempt, seen)
		}
		first[seen[0]]++
	}
	for _, m := range members {
		if first[m] < 60 {
			t.Errorf("%s is first %d times of 300", m, first[m])
		}
	}
}

// Rule 5.
func TestRemoteSuccessClosesWhatOthersOpened(t *testing.T) {
	l, order := openAll(t, "a", "b", "c")
	l.pass(soon)
	order[0].play("s")
	l.want("closed closed closed")
}

func TestOwnEvidenceGetsOneTrial(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	a, b := l.nodes[0], l.nodes[1]
	a.play("fffx")
	b.play("s")
	l.want("open closed suspect")
	l.nodes[2].play("s")
	wait := time.Second
	for range 5 {
		a.play("fx")
		wait = min(2*wait, 8*time.Second)
		l.pass(wait - 10*time.Millisecond)
		a.play("x")
		l.pass(10 * time.Millisecond)
		l.want("open closed closed") // nobody was accused anew
	}
	a.play("s")
	l.want("closed closed closed")
}

func TestTrafficReturnsByARamp(t *testing.T) {
	l := newLab(t, "a")
	a := l.nodes[0]
	c := labConfig()
	c.OpenMS = 4000
	a.Configure(c)
	a.play("fffwwwws")
	const slot = 100
	var share [21]int
	for i := range share {
		for range slot {
			if ticket, ok := a.Admit(); ok {
				share[i]++
				a.Done(ticket, Success)
			}
			l.now = l.now.Add(time.Millisecond)
		}
	}
	t.Logf("admitted per 100 requests and 100 ms: %v", share)
	if share[0] < 8 || share[0] > 18 || share[10] < 45 || share[10] > 65 || share[20] != slot {
		t.Errorf("admitted %v, want a tenth, a half and all after 0, 1 and 2 s", share)
	}
	if a.gate.Load() != 0 {
		t.Error("requests still meet the lock")
	}
}

func TestRampLetsSlowTrafficPass(t *testing.T) {
	l := newLab(t, "a")
	l.nodes[0].play("fffws.s.s.s.s")
}

// Rule 6: c is cut off from everything, the two others are well.
func TestSickNodeKeepsSilent(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	c := l.nodes[2]
	const other = "orders:80/10.0.0.2:80"
	for _, n := range l.nodes {
		n.add(other)
	}
	use := func(n *labNode, name string, r Result, times int) {
		for range times {
			if ticket, ok := n.also[name].Admit(); ok {
				n.also[name].Done(ticket, r)
			}
			l.settle()
		}
	}
	use(c, backend, Failure, 3)
	use(l.nodes[0], backend, Success, 1) // contradicts
	if c.group.Muted() {
		t.Fatal("it is silent with one upstream failing")
	}
	use(c, other, Failure, 3)
	if !c.group.Muted() {
		t.Fatal("it is not silent though everything fails here")
	}
	for _, name := range []string{backend, other} {
		if got := l.nodes[0].group.subjects[name].rows["c"]; got != nil && got.claim.accuses() {
			t.Errorf("a still hears %d of %s", got.claim, name)
		}
	}
	if l.nodes[0].also[other].state != Closed {
		t.Error("the other upstream was suspected")
	}
	if c.also[other].state != Open {
		t.Error("it does not believe itself any more")
	}
	sent := c.sent
	l.pass(muteFor - time.Second)
	use(c, other, Failure, 1) // probing goes on, silently
	if c.sent != sent {
		t.Errorf("%d messages while silent", c.sent-sent)
	}
	l.pass(time.Second)
	if c.group.Muted() {
		t.Error("still silent after ten seconds")
	}
}

func TestHealthyNodeIsNotSilenced(t *testing.T) {
	l := newLab(t, "a", "b")
	a := l.nodes[0]
	const other, third = "orders:80/10.0.0.2:80", "carts:80/10.0.0.3:80"
	for _, n := range l.nodes {
		n.add(other)
		n.add(third)
	}
	ticket, _ := a.also[third].Admit()
	a.also[third].Done(ticket, Success)
	for _, name := range []string{backend, other} {
		for range 3 {
			ticket, _ := a.also[name].Admit()
			a.also[name].Done(ticket, Failure)
			l.settle()
		}
		ticket, _ := l.nodes[1].also[name].Admit()
		l.nodes[1].also[name].Done(ticket, Success)
		l.settle()
	}
	if a.group.Muted() {
		t.Error("it is silent though one upstream works")
	}
}

// Rule 7.
func TestOverride(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	a, b, c := l.nodes[0], l.nodes[1], l.nodes[2]
	set := func(n *labNode, m Mode, hold time.Duration) {
		t.Helper()
		if err := n.group.Override(backend, m, hold); err != nil {
			t.Fatal(err)
		}
		l.settle()
	}
	set(a, ForceOpen, time.Minute)
	l.want("open open open")
	b.play("xwx")
	set(b, ForceShut, time.Minute) // the later version wins
	l.want("closed closed closed")
	c.play("ffffff")
	l.want("closed closed closed")
	b.gone = true // it holds even if the issuer goes
	l.pass(59 * time.Second)
	c.play("ffffff")
	l.pass(time.Second)
	c.play("fff")
	if c.state != Open {
		t.Errorf("c is %v after the override's end", c.state)
	}
	set(a, ForceShut, time.Hour)
	set(a, Auto, 0)
	c.play("fff")
	if c.state != Open {
		t.Errorf("c is %v after auto", c.state)
	}
}

func TestOverrideReachesLateNodes(t *testing.T) {
	l := newLab(t, "a", "b")
	a, b := l.nodes[0], l.nodes[1]
	b.deaf = true
	if err := a.group.Override(backend, ForceOpen, time.Minute); err != nil {
		t.Fatal(err)
	}
	l.settle()
	l.want("open closed")
	l.exchange(a, b)
	l.want("open open")
	l.pass(time.Minute)
	l.want("closed closed")
}

func TestSimultaneousOverridesAgree(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	a, b := l.nodes[0], l.nodes[1]
	_ = a.group.Override(backend, ForceOpen, time.Minute)
	_ = b.group.Override(backend, ForceShut, time.Minute) // same version, later name
	l.settle()
	l.want("closed closed closed")
}

func TestOverrideRefuses(t *testing.T) {
	f := func(name string, m Mode, hold time.Duration, want string) {
		t.Helper()
		err := newLab(t, "a").nodes[0].group.Override(name, m, hold)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f("nobody:80", ForceOpen, time.Minute, "unknown backend")
	f(backend, ForceOpen, 0, "at most 24h0m0s, got 0s")
	f(backend, ForceOpen, 25*time.Hour, "at most 24h0m0s, got 25h0m0s")
}

// Active checks travel the way own evidence does.
func TestHealth(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	a := l.nodes[0]
	a.Health(true)
	l.want("closed closed closed")
	a.Health(false)
	a.Health(false)
	l.settle()
	l.want("open suspect suspect")
	a.Health(true)
	l.settle()
	l.want("closed closed closed")
	a.play(".....fff")
	a.Health(true) // does not outweigh real requests
	if a.state != Open {
		t.Errorf("a is %v", a.state)
	}
}

func TestWhatWasSaidBeforeCounts(t *testing.T) {
	l := newLab(t, "a", "b")
	l.nodes[0].play("ff")
	l.nodes[1].play("ff")
	l.want("open open")
	c := l.join("c")
	l.want("open open closed")
	l.exchange(l.nodes[0], c)
	l.want("open open open")
}

// Addresses come and go: a breaker made anew starts from what is known.
func TestForgottenAndAddedAgain(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	a, b := l.nodes[0], l.nodes[1]
	a.play("fff")
	a.Forget()
	l.settle()
	if got := b.heard("a"); got.accuses() {
		t.Errorf("b still hears %d", got)
	}
	a.Breaker = a.add(backend)
	l.pass(rearmAfter)
	a.play("fff")
	if b.state != Suspect {
		t.Errorf("b is %v: the new accusation was taken for the old one", b.state)
	}
}

// Losing every direct message costs time, not the outcome.
func TestExchangeRepairsLoss(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	a, b, c := l.nodes[0], l.nodes[1], l.nodes[2]
	c.deaf = true
	a.play("ff")
	b.play("ff")
	l.want("open open closed")
	l.exchange(c, b) // hears of a by way of b
	l.want("open open open")
}

func TestRowsAreRenewedAndExpire(t *testing.T) {
	l := newLab(t, "a", "b")
	a, b := l.nodes[0], l.nodes[1]
	a.play("fff")
	l.pass(5 * rowTTL)
	if got := b.heard("a"); got != isOpen {
		t.Errorf("b hears %d after a while, want %d", got, isOpen)
	}
	a.gone = true
	l.pass(rowTTL)
	if got := b.heard("a"); got != nothing {
		t.Errorf("b hears %d of a node that is gone", got)
	}
	l.pass(rowTTL)
	if n := len(b.subject.rows); n != 0 {
		t.Errorf("%d rows are kept", n)
	}
}

func TestStatus(t *testing.T) {
	l := newLab(t, "a", "b")
	a, b := l.nodes[0], l.nodes[1]
	a.play("fff")
	s := b.group.Status()[0]
	if s.Backend != backend || s.State != "suspect" || strings.Join(s.By, " ") != "a" || !s.Since.Equal(l.now) || !s.NextProbe.IsZero() {
		t.Errorf("b: %+v", s)
	}
	s = a.group.Status()[0]
	if s.State != "open" || strings.Join(s.By, " ") != "a" || !s.NextProbe.Equal(l.now.Add(time.Second)) {
		t.Errorf("a: %+v", s)
	}
	_ = a.group.Override(backend, ForceOpen, time.Minute)
	l.settle()
	s = b.group.Status()[0]
	if s.State != "open" || s.Override != ForceOpen || s.OverrideBy != "a" || !s.OverrideUntil.Equal(l.now.Add(time.Minute)) {
		t.Errorf("b: %+v", s)
	}
}

func TestCauses(t *testing.T) {
	l := newLab(t, "a", "b", "c", "d")
	a, b, c := l.nodes[0], l.nodes[1], l.nodes[2]
	a.play("fff")
	b.play("f")
	c.play("s")
	f := func(n *labNode, want string) {
		t.Helper()
		if got := strings.Join(n.changes, " "); got != want {
			t.Errorf("%s: %s, want %s", n.name, got, want)
		}
	}
	f(a, "open/failures")
	f(b, "suspect/accusation open/suspicion closed/success_elsewhere")
	f(c, "suspect/accusation closed/success")
}

func TestAdmitAndDoneDoNotAllocate(t *testing.T) {
	n := newLab(t, "a").nodes[0]
	c := labConfig()
	f := func(what string) {
		t.Helper()
		if got := testing.AllocsPerRun(100, func() {
			ticket, _ := n.Admit()
			n.Done(ticket, Success)
		}); got != 0 {
			t.Errorf("%s: %v allocations", what, got)
		}
	}
	f("closed")
	c.FailureRatio = 0.5
	n.Configure(c)
	f("with a ratio")
	n.play("fff")
	if got := testing.AllocsPerRun(100, func() { n.Admit() }); got != 0 {
		t.Errorf("open: %v allocations", got)
	}
}

func BenchmarkBreaker(b *testing.B) {
	for _, state := range []string{"closed", "open"} {
		b.Run(state, func(b *testing.B) {
			n := newLab(b, "a").nodes[0]
			if state == "open" {
				n.play("fff")
			}
			b.ReportAllocs()
			for b.Loop() {
				if ticket, ok := n.Admit(); ok {
					n.Done(ticket, Success)
				}
			}
		})
	}
}

// Who is not a member raises no suspicion, until it is one.
func TestStrangersRaiseNoSuspicion(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	a, b := l.nodes[0], l.nodes[1]
	a.play("fff")
	state := full(t, a.group)
	a.gone = true
	late := l.join("d")
	if err := late.group.Merge(state); err != nil {
		t.Fatal(err)
	}
	l.want("open suspect suspect closed")
	if b.accuserLocked(l.now) != "" {
		t.Error("b still listens to who is gone")
	}
	a.gone = false
	l.pass(time.Second)
	l.want("open suspect suspect suspect")
}

func TestSuspicionEndsWhenTheWordIsTakenBack(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	l.nodes[0].play("fff")
	l.want("open suspect suspect")
	l.nodes[0].Forget()
	l.settle()
	l.want("open closed closed")
}

// What was said during an outage does not count after it, though its owner has
// not heard of the end.
func TestTheOutageEndsForAll(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	a, b, c := l.nodes[0], l.nodes[1], l.nodes[2]
	c.play("ff")
	b.play("ff")
	l.want("open open open")
	c.deaf = true
	l.pass(2 * time.Second)
	a.play("s")
	l.want("closed closed open")
	l.pass(time.Second)
	b.play("ff")
	l.want("closed closed open")
}

// A reload names a backend anew before it forgets the old one, or is refused
// after it has.
func TestOneBreakerForOneName(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	a, b := l.nodes[0], l.nodes[1]
	a.play("ff")
	if again := a.add(backend); again != a.Breaker {
		t.Fatal("there are two")
	}
	if a.Forget() {
		t.Error("it is forgotten though it is in use")
	}
	a.play("f")
	l.want("open suspect suspect")
	if !a.Forget() {
		t.Error("it is in use though nobody is left")
	}
	l.settle()
	if got := b.heard("a"); got.accuses() {
		t.Errorf("b still hears %d", got)
	}
}
