package limiter

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	muteClientLog()
	goleak.VerifyTestMain(m)
}

func perSecond(id, scope string, rate, burst int) *Limit {
	return &Limit{ID: id, Scope: scope, Rate: rate, Burst: burst, Period: time.Second}
}

// clock is a time that only moves when told to.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time      { return time.Unix(1_800_000_000, c.ns.Load()) }
func (c *clock) add(d time.Duration) { c.ns.Add(int64(d)) }

// newTest makes a limiter that is closed with the test.
func newTest(t testing.TB, change func(*Options)) *Limiter {
	t.Helper()
	o := Options{Config: DefaultConfig()}
	if change != nil {
		change(&o)
	}
	l, err := New(o)
	if err != nil {
		t.Fatalf("cannot make limiter: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("cannot close limiter: %v", err)
		}
	})
	return l
}

// admitted counts how many of n checks pass.
func admitted(t testing.TB, l *Limiter, n int, buckets ...Bucket) (count int) {
	for range n {
		if l.Check(t.Context(), buckets).Allowed {
			count++
		}
	}
	return count
}

// sameDecision compares all but the time it took; limits are compared by value.
func sameDecision(t *testing.T, got, want Decision) {
	t.Helper()
	if limit := got.Limit; limit != nil && want.Limit != nil && *limit == *want.Limit {
		got.Limit = want.Limit
	}
	got.Took = 0
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestLocalShare(t *testing.T) {
	f := func(members, minMembers, n, want, later int) {
		t.Helper()
		var c clock
		l := newTest(t, func(o *Options) {
			o.Now = c.now
			o.Size = func() int { return members }
			o.Config.Fallback.MinMembers = minMembers
		})
		b := Bucket{Limit: perSecond("r", ScopeUser, 50, 100), Key: "ann"}
		if got := admitted(t, l, n, b); got != want {
			t.Errorf("%d members, min %d: admitted %d of %d, want %d", members, minMembers, got, n, want)
		}
		c.add(time.Second)
		if got := admitted(t, l, n, b); got != later {
			t.Errorf("%d members, min %d: a second later admitted %d of %d, want %d", members, minMembers, got, n, later)
		}
	}
	f(1, 1, 120, 100, 50)
	f(5, 1, 120, 20, 10)
	f(1, 10, 120, 10, 5)
	f(0, 1, 120, 100, 50)
	f(1000, 1, 120, 1, 0) // never less than what one request costs
}

func TestLocalDecision(t *testing.T) {
	var c clock
	l := newTest(t, func(o *Options) { o.Now = c.now })
	all := perSecond("all", ScopeGlobal, 1000, 3)
	user := perSecond("user", ScopeUser, 10, 10)
	ip := perSecond("ip", ScopeIP, 10, 5)
	b := []Bucket{{Limit: all}, {Limit: user, Key: "ann"}, {Limit: ip, Key: "::1"}}

	f := func(want Decision) {
		t.Helper()
		sameDecision(t, l.Check(t.Context(), b), want)
	}
	ms := time.Millisecond
	f(Decision{Allowed: true, Limit: ip, Source: SourceLocal, Remaining: 4, ResetAfter: 100 * ms})
	f(Decision{Allowed: true, Limit: ip, Source: SourceLocal, Remaining: 3, ResetAfter: 200 * ms})
	f(Decision{Allowed: true, Limit: ip, Source: SourceLocal, Remaining: 2, ResetAfter: 300 * ms})
	f(Decision{Limit: all, Source: SourceLocal, RetryAfter: ms, ResetAfter: 3 * ms})
	b[2].Cost = 4 // now two deny: the longer wait counts
	f(Decision{Limit: ip, Source: SourceLocal, Remaining: 2, RetryAfter: 200 * ms, ResetAfter: 300 * ms})
	b = b[:1]
	c.add(3 * ms)
	f(Decision{Allowed: true, Source: SourceLocal}) // of a global bucket nothing is told
	b = nil
	f(Decision{Allowed: true})
}

// combos calls f with every combination of three buckets that have tokens left
// or not.
func combos(f func(full [3]bool)) {
	for i := range 8 {
		f([3]bool{i&1 != 0, i&2 != 0, i&4 != 0})
	}
}

func TestLocalDenialChargesNothing(t *testing.T) {
	combos(func(full [3]bool) { checkDenial(t, full, nil) })
}

// checkDenial empties the buckets that are not to be full, checks all three at
// once and looks at each alone afterwards.
func checkDenial(t *testing.T, full [3]bool, change func(*Options)) {
	t.Helper()
	var c clock
	l := newTest(t, func(o *Options) {
		o.Now = c.now
		if change != nil {
			change(o)
		}
	})
	var b []Bucket
	for i, scope := range []string{ScopeGlobal, ScopeUser, ScopeIP} {
		b = append(b, Bucket{Limit: perSecond(fmt.Sprint("combo", full, scope), scope, 1, 5), Key: "k"})
		if !full[i] {
			admitted(t, l, 5, b[i])
		}
	}
	want := full == [3]bool{true, true, true}
	if got := l.Check(t.Context(), b); got.Allowed != want {
		t.Errorf("full %v: got %+v, want allowed %v", full, got, want)
	}
	for i := range b {
		left := 0
		if full[i] {
			left = 5
		}
		if want {
			left = 4
		}
		if got := admitted(t, l, 10, b[i]); got != left {
			t.Errorf("full %v: bucket %d then admits %d, want %d", full, i, got, left)
		}
	}
}

func TestSameBucketTwiceCostsTwice(t *testing.T) {
	var c clock
	l := newTest(t, func(o *Options) { o.Now = c.now })
	b := Bucket{Limit: perSecond("r", ScopeUser, 1, 10), Key: "ann"}
	if got := admitted(t, l, 10, b, b); got != 5 {
		t.Errorf("admitted %d, want 5", got)
	}
}

func TestLimitChangeLocksOutNobody(t *testing.T) {
	var c clock
	l := newTest(t, func(o *Options) { o.Now = c.now })
	slow := &Limit{ID: "r", Scope: ScopeUser, Rate: 100, Burst: 100, Period: time.Hour}
	admitted(t, l, 100, Bucket{Limit: slow, Key: "ann"})
	fast := perSecond("r", ScopeUser, 100, 100)
	d := l.Check(t.Context(), []Bucket{{Limit: fast, Key: "ann"}})
	if d.Allowed || d.RetryAfter != 10*time.Millisecond {
		t.Errorf("got %+v, want denied for 10ms", d)
	}
	c.add(time.Second)
	if got := admitted(t, l, 200, Bucket{Limit: fast, Key: "ann"}); got != 100 {
		t.Errorf("a second later admitted %d, want 100", got)
	}
}

func TestRetain(t *testing.T) {
	var c clock
	l := newTest(t, func(o *Options) { o.Now = c.now })
	keep := Bucket{Limit: perSecond("keep", ScopeUser, 1, 5), Key: "ann"}
	drop := Bucket{Limit: perSecond("drop", ScopeUser, 1, 5), Key: "ann"}
	admitted(t, l, 5, keep)
	admitted(t, l, 5, drop)
	l.Retain(map[string]bool{"keep": true})
	if got := admitted(t, l, 5, keep); got != 0 {
		t.Errorf("retained limit admits %d, want 0", got)
	}
	if got := admitted(t, l, 5, drop); got != 5 {
		t.Errorf("dropped limit admits %d, want 5 again", got)
	}
}

func TestConcurrentChecksAdmitExactly(t *testing.T) {
	var c clock
	l := newTest(t, func(o *Options) { o.Now = c.now })
	b := []Bucket{
		{Limit: perSecond("all", ScopeGlobal, 1, 100)},
		{Limit: perSecond("user", ScopeUser, 1, 1000), Key: "ann"},
		{Limit: perSecond("ip", ScopeIP, 1, 1000), Key: "::1"},
	}
	reversed := slices.Clone(b)
	slices.Reverse(reversed)
	var passed atomic.Int64
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			order := b
			if i%2 == 1 {
				order = reversed
			}
			passed.Add(int64(admitted(t, l, 50, order...)))
		})
	}
	all.Wait()
	if got := passed.Load(); got != 100 {
		t.Errorf("admitted %d, want 100", got)
	}
	if got := admitted(t, l, 1000, b[1]); got != 900 {
		t.Errorf("the user has %d left, want 900: denials are not charged", got)
	}
}

// Three nodes that lose Redis and each other still admit one limit: for a minute
// by what they saw last, and for ever by min_members.
func TestTotalPartitionAdmitsOneLimit(t *testing.T) {
	s := newServer(t)
	b := Bucket{Limit: perSecond("r", ScopeUser, 30, 60), Key: "ann"}
	size := 3
	var nodes []*Limiter
	for range 3 {
		l := newQuiet(t, s, func(o *Options) { o.Size = func() int { return size } })
		l.Check(t.Context(), []Bucket{b})
		nodes = append(nodes, l)
	}
	for _, l := range nodes {
		outage(l)
	}
	size = 1
	total := 3
	const seconds = 120
	for range seconds {
		s.add(time.Second)
		for _, l := range nodes {
			total += admitted(t, l, 40, b)
		}
	}
	if due := 60 + 30*seconds; total > due || total < due-90 {
		t.Errorf("three nodes alone admitted %d in %d s, want %d", total, seconds, due)
	}
}
