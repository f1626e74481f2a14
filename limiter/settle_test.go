package limiter

import (
	"testing"
	"time"
)

// outage has the limiter decide alone until the returned function is called,
// which brings Redis back as the prober does.
func outage(l *Limiter) (end func()) {
	l.breaker.fail(breakerFailures, false, l.elapsed())
	<-l.breaker.opened // the prober is not to interfere
	return func() {
		l.breaker.close(l.elapsed())
		l.back(l.ctx)
	}
}

// newQuiet is a limiter with Redis, but without a prober.
func newQuiet(t testing.TB, s *server, change func(*Options)) *Limiter {
	t.Helper()
	o := Options{Config: DefaultConfig()}
	s.on(&o)
	if change != nil {
		change(&o)
	}
	l := newLocal(o)
	if err := l.addRedis(o); err != nil {
		t.Fatal(err)
	}
	l.batcher.start(l.ctx)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("cannot close limiter: %v", err)
		}
	})
	return l
}

// What was admitted without Redis is charged there before it decides again, on
// first use and in the background alike.
func TestDebtsAreSettled(t *testing.T) {
	s := newServer(t)
	l := newQuiet(t, s, func(o *Options) { o.Size = func() int { return 2 } })
	limit := perSecond("r", ScopeUser, 1, 100)
	ann, bob := Bucket{Limit: limit, Key: "ann"}, Bucket{Limit: limit, Key: "bob"}
	end := outage(l)
	admitted(t, l, 40, ann)
	admitted(t, l, 30, bob)
	l.breaker.close(l.elapsed())
	if d := l.Check(t.Context(), []Bucket{ann}); d.Source != SourceRedis || d.Remaining != 59 {
		t.Errorf("on first use got %+v, want 59 left of 100 after 40 and this one", d)
	}
	if d := l.Check(t.Context(), []Bucket{ann}); d.Remaining != 58 {
		t.Errorf("then got %+v, want 58 left: a debt is paid once", d)
	}
	end()
	if left := s.tokensIn(t, bob); left != 70 {
		t.Errorf("bob has %d left, want 70: his debt is paid without a request", left)
	}
	if left := s.tokensIn(t, ann); left != 58 {
		t.Errorf("ann has %d left, want 58", left)
	}
}

// What is forgiven, because it is less than a token, is not made up for by
// charging the next requests twice.
func TestFractionIsNotOwedOverAndOver(t *testing.T) {
	s := newServer(t)
	l := newQuiet(t, s, nil)
	b := Bucket{Limit: perSecond("r", ScopeUser, 1, 1000), Key: "ann"}
	b.Limit.Strict = true
	outage(l)
	admitted(t, l, 40, b)
	s.add(300 * time.Millisecond) // 39.7 are owed
	l.breaker.close(l.elapsed())
	admitted(t, l, 20, b)
	l.back(l.ctx)
	if left := s.tokensIn(t, b); left != 941 {
		t.Errorf("%d left, want 941: 1000 less 39 and 20", left)
	}
}

// A check that is late is charged by Redis, also if others were decided without
// it before the check gave up.
func TestLateChecksAreNotOwed(t *testing.T) {
	s := newServer(t)
	l := newQuiet(t, s, nil)
	b := Bucket{Limit: perSecond("r", ScopeUser, 1, 1000), Key: "ann"}
	outage(l)
	admitted(t, l, 10, b)
	for range 5 {
		l.asks.Put(l.again([]Bucket{b}, late))
	}
	l.breaker.close(l.elapsed())
	l.back(l.ctx)
	if left := s.tokensIn(t, b); left != 990 {
		t.Errorf("%d left, want 990: the late ones are not settled", left)
	}
}

// An outage shorter than it takes a bucket to fill leaves what was charged
// before in Redis: only what came after is owed.
func TestShortOutageIsNotChargedTwice(t *testing.T) {
	s := newServer(t)
	l := newQuiet(t, s, nil)
	b := Bucket{Limit: perSecond("r", ScopeUser, 8, 128), Key: "ann"}
	admitted(t, l, 50, b)
	end := outage(l)
	admitted(t, l, 20, b)
	s.add(time.Second)
	end()
	if left := s.tokensIn(t, b); left != 66 {
		t.Errorf("%d left, want 66: 128 less 50 and 20, and 8 came back", left)
	}
}

// Time pays: a debt is what has not come back by itself, and less than a token
// is nothing.
func TestDebtsFade(t *testing.T) {
	s := newServer(t)
	l := newQuiet(t, s, nil)
	b := Bucket{Limit: perSecond("r", ScopeUser, 8, 128), Key: "ann"}
	end := outage(l)
	admitted(t, l, 30, b)
	s.add(2 * time.Second)
	end()
	if left := s.tokensIn(t, b); left != 114 {
		t.Errorf("%d left, want 114: 16 of 30 came back", left)
	}
}

// Many buckets are settled in batches; until it is done the node counts as one
// without Redis.
func TestSettlementIsPacedAndTold(t *testing.T) {
	s := newServer(t)
	told := 0
	l := newQuiet(t, s, func(o *Options) { o.OnMode = func() { told++ } })
	limit := perSecond("r", ScopeUser, 1, 10)
	end := outage(l)
	keys := 3 * batchMax
	for i := range keys {
		admitted(t, l, 4, Bucket{Limit: limit, Key: string(rune('a' + i))})
	}
	l.breaker.close(l.elapsed())
	if l.Mode() != ModeLocal {
		t.Error("the mode is redis while debts are open")
	}
	before := writes(l)
	end()
	if l.Mode() != ModeRedis || told != 2 {
		t.Errorf("mode %s, told %d times; want redis, 2", l.Mode(), told)
	}
	if n := writes(l) - before; n < 3 || n > shardCount+3 {
		t.Errorf("settled in %v writes", n)
	}
	for _, i := range []int{0, keys / 2, keys - 1} {
		if left := s.tokensIn(t, Bucket{Limit: limit, Key: string(rune('a' + i))}); left != 6 {
			t.Errorf("bucket %d has %d left, want 6", i, left)
		}
	}
}

// Nodes with Redis leave those without their share of rate and burst.
func TestScaledWhileOthersAreWithoutRedis(t *testing.T) {
	s := newServer(t)
	away := 0
	l := newQuiet(t, s, func(o *Options) {
		o.Size = func() int { return 4 }
		o.Local = func() int { return away }
	})
	f := func(others, burst, perSecondLater int) {
		t.Helper()
		away = others
		s.add(time.Minute) // full again, and the number is read anew
		b := Bucket{Limit: perSecond("r", ScopeUser, 100, 200), Key: "ann"}
		b.Limit.Strict = true
		got := admitted(t, l, 300, b)
		if got < burst-1 || got > burst { // the stored seconds have a grain
			t.Errorf("%d of 4 away: admitted %d, want %d", others, got, burst)
		}
		s.add(time.Second + time.Microsecond)
		if got += admitted(t, l, 300, b); got != burst+perSecondLater {
			t.Errorf("%d of 4 away: with the next second admitted %d, want %d", others, got, burst+perSecondLater)
		}
	}
	f(0, 200, 100)
	f(1, 150, 75)
	f(3, 50, 25)
	f(9, 50, 25) // more than there are: this node keeps its own share
	f(0, 200, 100)
}

// Three nodes, of which one loses Redis, admit what is due and no more, before,
// while and after.
func TestOutageOfOneNode(t *testing.T) {
	c := newCohort(t, 3)
	away := 0
	quiet := make([]*Limiter, 3)
	for i := range quiet {
		quiet[i] = newQuiet(t, c.server, func(o *Options) {
			o.Size = func() int { return 3 }
			o.Local = func() int {
				if i == 0 {
					return 0
				}
				return away
			}
		})
	}
	c.nodes = quiet
	even := []float64{1. / 3, 1. / 3, 1. / 3}
	b := Bucket{Limit: hotLimit(1000)}
	c.offer(t, 2*time.Second, 3000, even, b)
	end := outage(quiet[0])
	away = 1
	passed, peak := c.offer(t, 3*time.Second, 3000, even, b)
	if passed < 2850 || passed > 3150 {
		t.Errorf("admitted %d in 3 s with one node alone, want 3000", passed)
	}
	if peak > 1100 {
		t.Errorf("admitted %d in one second with one node alone, want 1000", peak)
	}
	end()
	away = 0
	passed, peak = c.offer(t, 2*time.Second, 3000, even, b)
	if passed < 1900 || passed > 2100 || peak > 1100 {
		t.Errorf("admitted %d in 2 s, at most %d in one, after the return; want 2000, 1000", passed, peak)
	}
}
