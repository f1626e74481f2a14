package breaker

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// listener is a group that only listens.
func listener(now func() time.Time) *Group {
	return NewGroup(Options{Self: "listener", Now: now, Members: func() []string { return nil }})
}

func full(t testing.TB, g *Group) []byte {
	t.Helper()
	state, err := g.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// messages are what several nodes said in the course of a random life.
func messages(seed uint64, now func() time.Time) [][]byte {
	r := newRand(seed)
	var out [][]byte
	for i := range 3 {
		g := NewGroup(Options{Self: fmt.Sprintf("node%d", i), Now: now})
		g.Announce(func(m []byte) { out = append(out, m) })
		b := g.Add(Backend{Name: backend, Config: labConfig()})
		for range 20 {
			if ticket, ok := b.Admit(); ok {
				b.Done(ticket, Result(1+r.IntN(2)))
			}
			if r.IntN(5) == 0 {
				_ = g.Override(backend, Mode(r.IntN(3)), time.Duration(1+r.IntN(100))*time.Second)
			}
		}
	}
	return out
}

// Merging is idempotent, commutative and associative: any order, any number of
// times, by way of anybody.
func TestMergeLaws(t *testing.T) {
	clock := time.Unix(1_000_000, 0)
	now := func() time.Time { return clock }
	for seed := range uint64(50) {
		all := messages(seed, now)
		r := newRand(seed)
		var want []byte
		for round := range 4 {
			g, relay := listener(now), listener(now)
			for _, i := range r.Perm(len(all)) {
				for range 1 + r.IntN(2) {
					to := g
					if r.IntN(2) == 0 {
						to = relay
					}
					if err := to.Merge(all[i]); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := g.Merge(full(t, relay)); err != nil {
				t.Fatal(err)
			}
			if got := full(t, g); round == 0 {
				want = got
			} else if !bytes.Equal(got, want) {
				t.Fatalf("seed %d, round %d: %d bytes differ from the first round's %d", seed, round, len(got), len(want))
			}
		}
		if len(want) < 50 {
			t.Fatalf("seed %d: only %d bytes of state", seed, len(want))
		}
	}
}

func TestCopiesDoNotProlongLife(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	a, b, c := l.nodes[0], l.nodes[1], l.nodes[2]
	a.play("fff")
	message := full(t, a.group)
	a.gone, a.deaf = true, true
	for range 5 {
		l.pass(rowTTL / 5)
		if err := b.group.Merge(message); err != nil { // the same version, as if just sent
			t.Fatal(err)
		}
		l.exchange(b, c)
	}
	if b.heard("a") != nothing || c.heard("a") != nothing {
		t.Error("the word of a silent node lives on")
	}
}

func TestNobodySpeaksForAnother(t *testing.T) {
	l := newLab(t, "a", "b")
	forged := appendRow([]byte{wireVersion}, backend, "a", &row{version: 99, claim: isOpen, expires: l.now.Add(rowTTL)}, l.now)
	if err := l.nodes[0].group.Merge(forged); err != nil {
		t.Fatal(err)
	}
	if got := l.nodes[0].heard("a"); got != nothing {
		t.Errorf("a took %d for its own word", got)
	}
}

func TestMergeRefuses(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	good := appendRow([]byte{wireVersion}, backend, "a", &row{claim: isOpen, expires: now.Add(rowTTL)}, now)
	bad := func(change func(r *row)) []byte {
		r := &row{claim: isOpen, expires: now.Add(rowTTL)}
		change(r)
		return appendRow([]byte{wireVersion}, backend, "a", r, now)
	}
	f := func(message []byte, want string) {
		t.Helper()
		g := listener(func() time.Time { return now })
		err := g.Merge(message)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if len(g.subjects) != 0 {
			t.Error("it changed something")
		}
	}
	f(nil, "cut short")
	f([]byte{9}, "version 9")
	f([]byte{wireVersion, 7, 1, 'x'}, "unknown kind 7")
	for n := 2; n < len(good); n++ {
		f(good[:n], "")
	}
	f(bad(func(r *row) { r.claim = claimCount }), "claim 5")
	f(bad(func(r *row) { r.attempt = maxAttempt + 1 }), "attempt")
	f(appendRow([]byte{wireVersion}, "", "a", &row{}, now), "1 to 512 bytes, got 0")
	f(appendRow([]byte{wireVersion}, strings.Repeat("x", 513), "a", &row{}, now), "got 513")
	f(appendOverride([]byte{wireVersion}, backend, &override{issuer: "a", mode: modeCount}, now), "mode 3")
	f(append(bytes.Clone(good), kindRow), "cut short")
}

// What others claim of the future is bounded by what could be true.
func TestHostileTimesAreBounded(t *testing.T) {
	l := newLab(t, "a", "b")
	a := l.nodes[0]
	far := l.now.Add(1000 * time.Hour)
	r := &row{version: 1, claim: isOpen, firsthand: true, episode: 1, attempt: 3, probeAt: far, expires: far}
	if err := a.group.Merge(appendRow([]byte{wireVersion}, backend, "b", r, l.now)); err != nil {
		t.Fatal(err)
	}
	a.play("f")
	if a.state != Open || a.dueLocked(l.now).at.After(l.now.Add(time.Second)) {
		t.Errorf("state %v, next probe %v from now", a.state, a.dueLocked(l.now).at.Sub(l.now))
	}
	if left := a.subject.rows["b"].expires.Sub(l.now); left > rowTTL {
		t.Errorf("the row lives for %v", left)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	g := listener(func() time.Time { return now })
	var err error
	for i := range maxRows + 10 {
		name := fmt.Sprintf("%s-%d", backend, i)
		err = errors.Join(err, g.Merge(appendRow([]byte{wireVersion}, name, "a", &row{claim: isOpen, expires: now.Add(rowTTL)}, now)))
		err = errors.Join(err, g.Merge(appendOverride([]byte{wireVersion}, name, &override{issuer: "a", mode: ForceOpen, expires: now.Add(time.Hour)}, now)))
	}
	if !errors.Is(err, ErrTooMany) || g.rows != maxRows || g.overrides != maxOverrides || len(g.subjects) != maxRows {
		t.Errorf("%d rows, %d overrides, %d backends, error %v", g.rows, g.overrides, len(g.subjects), err)
	}
	now = now.Add(2 * rowTTL)
	g.Tick()
	if g.rows != 0 || len(g.subjects) != maxOverrides {
		t.Errorf("%d rows of %d backends are left", g.rows, len(g.subjects))
	}
}

// A renewal of many rows goes in several datagrams.
func TestRenewalFitsPackets(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	var sizes []int
	g := NewGroup(Options{Self: "a", Now: func() time.Time { return now }})
	for i := range 100 {
		b := g.Add(Backend{Name: fmt.Sprintf("%s-%d", backend, i), Config: labConfig()})
		for range 3 {
			ticket, _ := b.Admit()
			b.Done(ticket, Failure)
		}
	}
	g.Announce(func(m []byte) { sizes = append(sizes, len(m)) })
	now = now.Add(rowTTL / 2)
	g.Tick()
	if len(sizes) < 5 || len(sizes) > 30 {
		t.Errorf("%d messages for 100 rows", len(sizes))
	}
	for _, n := range sizes {
		if n > packet {
			t.Errorf("a message has %d bytes", n)
		}
	}
}

func FuzzMerge(f *testing.F) {
	now := time.Unix(1_000_000, 0)
	f.Add(appendRow([]byte{wireVersion}, backend, "b", &row{version: 3, claim: probing, episode: 2, attempt: 4, expires: now.Add(rowTTL)}, now))
	f.Add(appendOverride([]byte{wireVersion}, backend, &override{version: 1, issuer: "b", mode: ForceOpen, expires: now.Add(time.Minute)}, now))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, message []byte) {
		g := NewGroup(Options{Self: "a", Now: func() time.Time { return now }, Members: func() []string { return []string{"a", "b"} }})
		b := g.Add(Backend{Name: backend, Config: labConfig()})
		if g.Merge(message) != nil {
			return
		}
		again := full(t, g)
		if err := g.Merge(again); err != nil {
			t.Fatalf("its own state is refused: %v", err)
		}
		if !bytes.Equal(again, full(t, g)) {
			t.Error("merging the same twice changed it")
		}
		if ticket, ok := b.Admit(); ok {
			b.Done(ticket, Failure)
		}
		g.Tick()
		g.Status()
	})
}

// A copy that was long on its way is held to the lifetime of the others.
func TestShorterLifetimeWins(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	a, b, c := l.nodes[0], l.nodes[1], l.nodes[2]
	c.deaf = true
	a.play("fff")
	message := full(t, a.group)
	a.gone, c.deaf = true, false
	l.pass(rowTTL / 3)
	if err := c.group.Merge(message); err != nil {
		t.Fatal(err)
	}
	l.exchange(b, c)
	l.pass(rowTTL * 2 / 3)
	if got := c.heard("a"); got != nothing {
		t.Errorf("c hears %d, longer than b", got)
	}
}

// A dishonest owner that says two things under one version divides nobody.
func TestOneVersionTwice(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	message := func(c claim) []byte {
		return appendRow([]byte{wireVersion}, backend, "a", &row{version: 7, claim: c, expires: now.Add(rowTTL)}, now)
	}
	one, other := listener(func() time.Time { return now }), listener(func() time.Time { return now })
	for _, m := range []claim{well, isOpen} {
		_ = one.Merge(message(m))
	}
	for _, m := range []claim{isOpen, well} {
		_ = other.Merge(message(m))
	}
	if !bytes.Equal(full(t, one), full(t, other)) {
		t.Error("the order of arrival decides")
	}
}
