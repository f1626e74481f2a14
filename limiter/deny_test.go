package limiter

import (
	"testing"
	"time"
)

// A flood against an empty bucket costs Redis one question per missing token.
func TestDenialsCostRedisNothing(t *testing.T) {
	c := newCohort(t, 1)
	limit := perSecond("r", ScopeIP, 10, 10)
	b := Bucket{Limit: limit, Key: "::1"}
	admitted(t, c.nodes[0], 10, b)
	before := c.calls()
	passed, _ := c.offer(t, time.Second, 5000, []float64{1}, b)
	if passed < 9 || passed > 10 {
		t.Errorf("admitted %d in a second, want 10", passed)
	}
	if calls := c.calls() - before; calls > 25 {
		t.Errorf("5000 requests cost %v calls, want at most 2 per token", calls)
	}
}

// While a denial is believed Redis would deny as well.
func TestBelievedDenialsAreTrue(t *testing.T) {
	s := newServer(t)
	l, oracle := newTest(t, s.on), newTest(t, s.on)
	limit := perSecond("r", ScopeUser, 7, 4)
	limit.Strict = true
	believed := 0
	for i := range 400 {
		b := []Bucket{{Limit: limit, Key: "ann", Cost: 1 + i%3}}
		d := l.Check(t.Context(), b)
		if d.Source == SourceDeny {
			believed++
			oracle.local.with("rate:test:r:ann", func(c *slot) { c.denial = denial{} })
			if o := oracle.Check(t.Context(), b); o.Allowed || (o.RetryAfter-d.RetryAfter).Abs() > time.Millisecond {
				t.Fatalf("request %d: denied for %s without asking, but Redis says %+v", i, d.RetryAfter, o)
			}
		}
		s.add(11 * time.Millisecond)
	}
	if believed < 100 {
		t.Errorf("only %d denials were believed", believed)
	}
}

// A denial is of one limit and one cost: another limit, or a request that costs
// less, is asked for.
func TestDenialHoldsForItsLimitAndCost(t *testing.T) {
	s := newServer(t)
	l := newTest(t, s.on)
	limit := perSecond("r", ScopeUser, 1, 5)
	dear := []Bucket{{Limit: limit, Key: "ann", Cost: 4}}
	f := func(b []Bucket, allowed bool, source Source) {
		t.Helper()
		if d := l.Check(t.Context(), b); d.Allowed != allowed || d.Source != source {
			t.Errorf("got %+v, want allowed %v by %s", d, allowed, source)
		}
	}
	f(dear, true, SourceRedis)
	f(dear, false, SourceRedis)
	f(dear, false, SourceDeny)
	f([]Bucket{{Limit: limit, Key: "ann"}}, true, SourceRedis)
	f(dear, false, SourceRedis) // the last answer was yes
	raised := *limit
	raised.Burst = 100
	f([]Bucket{{Limit: &raised, Key: "ann", Cost: 4}}, true, SourceRedis)
	same := raised
	f([]Bucket{{Limit: &same, Key: "ann", Cost: 97}}, false, SourceRedis)
	again := raised // as after a reload that changed nothing
	l.Retain(map[string]bool{"r": true})
	f([]Bucket{{Limit: &again, Key: "ann", Cost: 97}}, false, SourceDeny)
}

// A client that waits for as long as it was told gets in, whoever told it.
func TestRetryAfterIsTrue(t *testing.T) {
	s := newServer(t)
	l := newTest(t, s.on)
	f := func(limit *Limit, cost int) {
		t.Helper()
		b := []Bucket{{Limit: limit, Key: "ann", Cost: cost}}
		for round := range 50 {
			d := l.Check(t.Context(), b)
			for i := 0; d.Allowed; i++ {
				if d = l.Check(t.Context(), b); i > 1000 {
					t.Fatal("nothing is denied")
				}
			}
			if round%2 == 0 { // ask a cache, or a lease on hold
				s.add(time.Millisecond)
				d = l.Check(t.Context(), b)
			}
			s.add(d.RetryAfter)
			if again := l.Check(t.Context(), b); !again.Allowed {
				t.Fatalf("%+v, cost %d: told to wait %s by %s, but then got %+v", *limit, cost, d.RetryAfter, d.Source, again)
			}
		}
	}
	f(perSecond("a", ScopeUser, 10, 10), 1)
	f(perSecond("b", ScopeUser, 3, 7), 5)
	f(perSecond("c", ScopeUser, 1000, 1000), 1)
	f(&Limit{ID: "d", Scope: ScopeUser, Rate: 7, Burst: 1, Period: time.Minute}, 1)
	f(&Limit{ID: "e", Scope: ScopeGlobal, Rate: 1000, Burst: 1000, Period: time.Second}, 1)
}
