package limiter

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// tokensIn is what Redis holds of a bucket.
func (s *server) tokensIn(t testing.TB, b Bucket) int {
	t.Helper()
	look := newTest(t, s.on)
	strict := *b.Limit
	strict.Strict, strict.Shadow = true, false
	n := 0
	for n <= strict.Burst && look.Check(t.Context(), []Bucket{{Limit: &strict, Key: b.Key}}).Allowed {
		n++
	}
	return n
}

func hotLimit(burst int) *Limit { return perSecond("hot", ScopeGlobal, 1000, burst) }

// warmUp makes the node expect demand, so that it draws ahead.
func warmUp(t testing.TB, c *cohort, b ...Bucket) {
	t.Helper()
	c.offer(t, 100*time.Millisecond, 200, []float64{1}, b...)
}

// A token that was in stock goes back there if another bucket denies.
func TestDeniedRequestKeepsTheStock(t *testing.T) {
	c := newCohort(t, 1)
	l := c.nodes[0]
	hot := Bucket{Limit: hotLimit(1000)}
	warmUp(t, c, hot)
	user := Bucket{Limit: perSecond("u", ScopeUser, 1, 1), Key: "ann"}
	admitted(t, l, 1, user)
	used := testutil.ToFloat64(l.metrics.leaseUsed)
	passed := 0
	for range 100 {
		passed += admitted(t, l, 1, hot, user)
		c.add(20 * time.Millisecond)
		l.local.with("rate:test:u:ann", func(c *slot) { c.denial = denial{} }) // have Redis asked
	}
	if now := testutil.ToFloat64(l.metrics.leaseUsed) - used; passed != 1 || now != 1 {
		t.Errorf("%d of 100 requests passed and used %v tokens, want 1 and 1", passed, now)
	}
}

// What is drawn and not used goes back: the bucket is full again when its time
// has come.
func TestUnusedTokensGoBack(t *testing.T) {
	c := newCohort(t, 1)
	hot := Bucket{Limit: hotLimit(1000)}
	passed, _ := c.offer(t, 200*time.Millisecond, 900, []float64{1}, hot)
	granted := testutil.ToFloat64(c.nodes[0].metrics.leaseGranted)
	if granted <= float64(passed) {
		t.Fatalf("granted %v for %d requests: nothing is in stock", granted, passed)
	}
	c.add(2 * leaseLife)
	m := c.nodes[0].metrics
	waitFor(t, func() bool {
		return testutil.ToFloat64(m.leaseReturned)+testutil.ToFloat64(m.leaseExpired) == granted-float64(passed)
	})
	waitFor(t, func() bool { return c.nodes[0].local.drawn.takeAll() == nil })
	if left := c.tokensIn(t, hot); left != 1000 {
		t.Errorf("%d tokens left, want a full bucket", left)
	}
}

// A stock that runs low is filled up before it is empty: of a limit that is not used
// up nobody waits for Redis.
func TestNobodyWaitsForTheNextGrant(t *testing.T) {
	c := newCohort(t, 1)
	hot := Bucket{Limit: hotLimit(1000)}
	warmUp(t, c, hot)
	asked := map[Source]int{}
	for range 2000 { // 500 a second, for four seconds
		asked[c.nodes[0].Check(t.Context(), []Bucket{hot}).Source]++
		c.add(2 * time.Millisecond)
	}
	// The first grants are small: what will be asked for is not known yet.
	if asked[SourceRedis] > 10 || asked[SourceLease] < 1990 {
		t.Errorf("decisions by %v, want nearly all from stock", asked)
	}
	if calls := c.calls(); calls > 4*25 {
		t.Errorf("%v scripts in four seconds, want at most 25 a second", calls)
	}
}

// A bucket that is empty has no grant to fetch: there the node holds back.
func TestNothingIsFetchedFromAnEmptyBucket(t *testing.T) {
	f := func(l lease, now int64, want bool) {
		t.Helper()
		if got := l.low(now); got != want {
			t.Errorf("%+v at %d: low %v, want %v", l, now, got, want)
		}
	}
	f(lease{tokens: 4, refill: 32}, 5, true)
	f(lease{tokens: 5, refill: 32}, 5, false)
	f(lease{tokens: 1, refill: fetchFrom - 1}, 5, false)
	f(lease{tokens: 4, refill: 32, flight: &flight{}}, 5, false)
	f(lease{tokens: 4, refill: 32, hold: 6}, 5, false)
	f(lease{tokens: 4, refill: 32, retry: 4}, 5, false)
}

// A node that ends gives back what it holds.
func TestCloseReturnsTheStock(t *testing.T) {
	s := newServer(t)
	o := Options{Config: DefaultConfig()}
	s.on(&o)
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	hot := Bucket{Limit: perSecond("hot", ScopeGlobal, 1000, 1000)}
	passed := admitted(t, l, 60, hot)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if left := s.tokensIn(t, hot); left != 1000-passed {
		t.Errorf("%d tokens left, want %d: 1000 less the %d that passed", left, 1000-passed, passed)
	}
}

// A short grant is followed by a hold, or the nodes would fetch single tokens.
func TestShortGrantIsFollowedByAHold(t *testing.T) {
	c := newCohort(t, 1)
	hot := Bucket{Limit: hotLimit(1000)}
	c.offer(t, 2*time.Second, 5000, []float64{1}, hot) // empty by now
	before := c.calls()
	c.offer(t, time.Second, 5000, []float64{1}, hot)
	if calls := c.calls() - before; calls > 21 {
		t.Errorf("%v calls in a second, want 20: one per τ", calls)
	}
}

// The sweeper takes unused tokens, not the hold: with it the nodes would ask anew
// at each of its rounds.
func TestSweeperLeavesTheHold(t *testing.T) {
	c := newCohort(t, 1)
	hot := Bucket{Limit: hotLimit(1000)}
	c.offer(t, 2*time.Second, 5000, []float64{1}, hot) // empty, and on hold
	l := c.nodes[0]
	l.local.with("rate:test:hot:", func(s *slot) { s.lease.tokens, s.lease.hold = 0, l.elapsed()+int64(leaseHorizon) })
	before := c.calls()
	for range 10 {
		l.giveBack(l.local.reclaim(l.elapsed(), false))
		if d := l.Check(t.Context(), []Bucket{hot}); d.Allowed || d.Source != SourceLease {
			t.Fatalf("got %+v, want denied by the hold", d)
		}
	}
	if calls := c.calls() - before; calls != 0 {
		t.Errorf("%v calls during the hold, want none", calls)
	}
	c.add(2 * leaseLife)
	l.local.reclaim(l.elapsed(), false)
	l.local.with("rate:test:hot:", func(s *slot) {
		if s.lease != nil {
			t.Errorf("a lease that decides on nothing is kept: %+v", s.lease)
		}
	})
}

func TestWhatIsLeased(t *testing.T) {
	f := func(rate, burst, members, want int) {
		t.Helper()
		r := newRule(*perSecond("r", ScopeUser, rate, burst), "p")
		if got := leaseMax(r, members); got != want {
			t.Errorf("%d/s, burst %d, %d members: %d tokens at most, want %d", rate, burst, members, got, want)
		}
	}
	f(1000, 1000, 3, 50)
	f(1000, 120, 3, 10)
	f(100, 1000, 3, 5)
	f(20, 1000, 1, 1) // too small to draw from
	f(1000, 10, 3, 0)

	cold := &slot{}
	hot := &slot{}
	hot.demand.add(10, 0)
	g := func(c *slot, change func(*Limit), cost int, want bool) {
		t.Helper()
		limit := *perSecond("r", ScopeUser, 1000, 1000)
		change(&limit)
		it := &item{rule: newRule(limit, "p"), cost: cost}
		if got := c.leased(it, 3); got != want {
			t.Errorf("%+v, cost %d: leased %v, want %v", limit, cost, got, want)
		}
	}
	g(hot, func(*Limit) {}, 1, true)
	g(hot, func(*Limit) {}, 25, true)
	g(hot, func(*Limit) {}, 26, false) // two must fit, or a grant is one request's
	g(cold, func(*Limit) {}, 1, false)
	g(cold, func(l *Limit) { l.Scope = ScopeGlobal }, 1, true)
	g(hot, func(l *Limit) { l.Strict = true }, 1, false)
	g(hot, func(l *Limit) { l.Shadow = true }, 1, false)
	g(hot, func(l *Limit) { l.Rate = 10 }, 1, false)
}

func TestDemand(t *testing.T) {
	var d demand
	f := func(at time.Duration, n int, want float64) {
		t.Helper()
		d.add(n, int64(at))
		if got := d.tokens(); got != want {
			t.Errorf("at %s: got %v, want %v", at, got, want)
		}
	}
	f(0, 8, 8)
	f(10*time.Millisecond, 8, 16) // a rise counts at once
	f(50*time.Millisecond, 0, 8)
	f(100*time.Millisecond, 0, 4)
	f(200*time.Millisecond, 0, 1)
	f(time.Hour, 1, 1)
}

// Checks that find a refill on its way wait for it instead of sending another.
func TestWaitersShareARefill(t *testing.T) {
	c := newCohort(t, 1)
	l := c.nodes[0]
	hot := Bucket{Limit: hotLimit(1000)}
	warmUp(t, c, hot)
	c.add(10 * leaseHorizon)
	waitFor(t, func() bool { return !l.local.drawn.some() })
	warmUp(t, c, hot)
	before, results := c.calls(), make(chan bool)
	for range 200 {
		go func() { results <- l.Check(t.Context(), []Bucket{hot}).Allowed }()
	}
	passed := 0
	for range 200 {
		if <-results {
			passed++
		}
	}
	if calls := c.calls() - before; passed != 200 || calls > 40 {
		t.Errorf("%d of 200 passed with %v calls, want all with a few", passed, calls)
	}
}

// A grant that comes too late for its request is stock for the next, and what is
// not used of it goes back.
func TestLateGrantBecomesStock(t *testing.T) {
	s := newServer(t)
	p := &proxy{target: s.Addr()}
	l := newTest(t, func(o *Options) {
		s.on(o)
		o.Config.Addrs = []string{fakeRedis(t, p.serve)}
	})
	hot := Bucket{Limit: hotLimit(1000), Cost: 5}
	other := Bucket{Limit: perSecond("other", ScopeUser, 1, 1)}
	admitted(t, l, 1, other) // the connection is there
	p.held.Lock()
	release := sync.OnceFunc(p.held.Unlock)
	defer release() // or a failure would wait for the proxy for ever
	ctx, cancel := context.WithCancel(t.Context())
	decided := make(chan Decision)
	go func() { decided <- l.Check(ctx, []Bucket{hot}) }()
	waitFor(t, func() bool { return s.Exists(hotKey) })
	cancel()
	if d := <-decided; !d.Allowed || d.Source != SourceLocal {
		t.Fatalf("got %+v, want allowed by the share: the answer is late", d)
	}
	release()
	waitFor(t, func() bool { return testutil.ToFloat64(l.metrics.leaseGranted) == 5 })
	if d := l.Check(t.Context(), []Bucket{hot}); !d.Allowed || d.Source != SourceLease {
		t.Errorf("got %+v, want paid from the late grant", d)
	}
}

// A check that waits in vain for another one's refill was never sent: what the share
// admits instead is owed, not given away.
func TestWhoWaitsInVainOwes(t *testing.T) {
	s := newServer(t)
	p := &proxy{target: s.Addr()}
	l := newQuiet(t, s, func(o *Options) { o.Config.Addrs = []string{fakeRedis(t, p.serve)} })
	hot := Bucket{Limit: hotLimit(1000), Cost: 5}
	admitted(t, l, 1, Bucket{Limit: perSecond("other", ScopeUser, 1, 1)}) // the connection is there
	p.held.Lock()
	release := sync.OnceFunc(p.held.Unlock)
	defer release() // or a failure would wait for the proxy for ever
	first := make(chan Decision)
	go func() { first <- l.Check(t.Context(), []Bucket{hot}) }()
	waitFor(t, func() bool { return s.Exists(hotKey) })
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if d := l.Check(gone, []Bucket{hot}); !d.Allowed || d.Source != SourceLocal {
		t.Errorf("got %+v, want allowed by the share: the refill is late", d)
	}
	release()
	if d := <-first; !d.Allowed {
		t.Errorf("got %+v, want allowed", d)
	}
	l.back(l.ctx)
	if left := s.tokensIn(t, hot); left != 990 {
		t.Errorf("%d left, want 990: two requests of 5 passed", left)
	}
}

// What is put back into a full bucket leaves it full, and nothing in Redis.
func TestRefundNeverOverfills(t *testing.T) {
	s := newServer(t)
	l := newQuiet(t, s, nil)
	limit := perSecond("r", ScopeUser, 8, 16)
	b := Bucket{Limit: limit, Key: "ann"}
	refund := func(n int) { l.remote.post([]post{{key: "rate:test:r:ann", rule: l.rules.get(limit), tokens: -n}}) }
	admitted(t, l, 6, b)
	refund(6)
	if s.Exists("rate:test:r:ann") {
		t.Error("a full bucket is kept in Redis")
	}
	refund(50)
	if left := s.tokensIn(t, b); left != 16 {
		t.Errorf("%d tokens after refunds into a full bucket, want 16", left)
	}
}
