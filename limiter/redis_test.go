package limiter

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/go-api-gateway-pro/gateway/limiter/gcra"
)

// server is a Redis in this process. Its clock and that of its clients only move
// when told to.
type server struct {
	*miniredis.Miniredis
	at      time.Time
	clients clock
}

func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{Miniredis: miniredis.RunT(t), at: time.Unix(1_800_000_000, 0)}
	s.SetTime(s.at)
	return s
}

// add moves all clocks on.
func (s *server) add(d time.Duration) {
	s.clients.add(d)
	s.step(d)
}

// step moves the clock of the server alone.
func (s *server) step(d time.Duration) {
	s.at = s.at.Add(d)
	s.SetTime(s.at)
}

// on points a limiter to the server and its time.
func (s *server) on(o *Options) {
	on(s.Addr())(o)
	o.Now = s.clients.now
}

// on points a limiter to addr with a budget that a busy machine can keep.
func on(addr string) func(*Options) {
	return func(o *Options) {
		o.Config.Addrs = []string{addr}
		o.Config.BudgetMS = 1000
		o.Config.KeyPrefix = "test"
	}
}

func TestRedisDecision(t *testing.T) {
	s := newServer(t)
	l := newTest(t, s.on)
	all := perSecond("all", ScopeGlobal, 100, 3)
	user := perSecond("user", ScopeUser, 10, 10)
	b := []Bucket{{Limit: all}, {Limit: user, Key: "ann"}}
	f := func(want Decision) {
		t.Helper()
		sameDecision(t, l.Check(t.Context(), b), want)
	}
	ms := time.Millisecond
	f(Decision{Allowed: true, Limit: user, Source: SourceRedis, Remaining: 9, ResetAfter: 100 * ms})
	f(Decision{Allowed: true, Limit: user, Source: SourceRedis, Remaining: 8, ResetAfter: 200 * ms})
	f(Decision{Allowed: true, Limit: user, Source: SourceRedis, Remaining: 7, ResetAfter: 300 * ms})
	f(Decision{Limit: all, Source: SourceRedis, RetryAfter: 10 * ms, ResetAfter: 30 * ms})
	s.add(20 * ms)
	f(Decision{Allowed: true, Limit: user, Source: SourceRedis, Remaining: 6, ResetAfter: 380 * ms})
	if ttl := s.TTL("rate:test:user:ann"); ttl != time.Second {
		t.Errorf("the key lives %s, want 1s", ttl)
	}
}

func TestRedisDenialChargesNothing(t *testing.T) {
	s := newServer(t)
	combos(func(full [3]bool) { checkDenial(t, full, s.on) })
}

// A client of redis_rate sees the same buckets, and the other way round.
func TestRedisRateSeesTheSame(t *testing.T) {
	s := newServer(t)
	l := newTest(t, s.on)
	client := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer client.Close()
	theirs := redis_rate.NewLimiter(client)
	limit := redis_rate.Limit{Rate: 100, Burst: 100, Period: time.Second}
	b := Bucket{Limit: perSecond("r", ScopeUser, 100, 100), Key: "ann", Cost: 3}

	admitted(t, l, 10, b)
	got, err := theirs.AllowN(t.Context(), "test:r:ann", limit, 0)
	if err != nil || got.Remaining < 69 || got.Remaining > 70 {
		t.Errorf("they see %+v, %v; want 70 left (they round down)", got, err)
	}
	if _, err := theirs.AllowN(t.Context(), "test:r:ann", limit, 30); err != nil {
		t.Fatal(err)
	}
	if d := l.Check(t.Context(), []Bucket{b}); d.Remaining != 37 {
		t.Errorf("after they took 30 we see %+v, want 37 left", d)
	}
}

func TestRedisLimitChangeAndClockLockOutNobody(t *testing.T) {
	s := newServer(t)
	l := newTest(t, s.on)
	slow := &Limit{ID: "r", Scope: ScopeUser, Rate: 100, Burst: 100, Period: time.Hour}
	fast := Bucket{Limit: perSecond("r", ScopeUser, 100, 100), Key: "ann"}
	fast.Limit.Strict = true
	admitted(t, l, 100, Bucket{Limit: slow, Key: "ann"})
	if d := l.Check(t.Context(), []Bucket{fast}); d.Allowed || d.RetryAfter != 10*time.Millisecond {
		t.Errorf("after the change got %+v, want denied for 10ms", d)
	}
	s.add(time.Second)
	if got := admitted(t, l, 110, fast); got != 100 {
		t.Errorf("a second later admitted %d, want 100", got)
	}
	s.add(11 * time.Millisecond) // the denial is no longer believed
	s.step(-30 * time.Second)    // the clock of Redis is set back
	admitted(t, l, 1, fast)
	s.add(time.Second)
	if got := admitted(t, l, 110, fast); got != 100 {
		t.Errorf("a second after the clock was set back admitted %d, want 100", got)
	}
}

func TestRedisForgetsTheScript(t *testing.T) {
	s := newServer(t)
	l := newTest(t, s.on)
	b := Bucket{Limit: perSecond("r", ScopeUser, 1, 5), Key: "ann"}
	for i := range 5 {
		client := redis.NewClient(&redis.Options{Addr: s.Addr()})
		if err := client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		client.Close()
		if d := l.Check(t.Context(), []Bucket{b}); !d.Allowed || d.Source != SourceRedis || d.Remaining != 4-i {
			t.Errorf("check %d: got %+v, want %d left by redis", i, d, 4-i)
		}
	}
}

// The script decides as package gcra does, on random limits, costs and steps
// of the clock, forwards and backwards.
func TestScriptEqualsModel(t *testing.T) {
	s := newServer(t)
	l := newTest(t, s.on)
	rng := rand.New(rand.NewPCG(3, 4))
	origin := s.at.Add(-time.Hour)
	rates := []int{1, 2, 4, 5, 10, 50, 100, 1000} // each interval is whole microseconds
	for round := range 30 {
		limit := perSecond("model"+strconv.Itoa(round), ScopeUser, rates[rng.IntN(len(rates))], 1+rng.IntN(40))
		limit.Strict = true
		tat := int64(0)
		for range 40 {
			s.add(time.Duration(rng.IntN(300_000)-20_000) * time.Microsecond)
			cost := 1 + rng.IntN(min(limit.Burst, 4))
			got := l.Check(t.Context(), []Bucket{{Limit: limit, Key: "k", Cost: cost}})
			var want gcra.Result
			tat, want = gcra.Take(tat, int64(s.at.Sub(origin)), limit.gcra(), cost)
			if got.Source == SourceLocal || got.Allowed != want.Allowed || got.Remaining != want.Remaining ||
				(got.RetryAfter-want.RetryAfter).Abs() > 2*time.Microsecond ||
				(got.ResetAfter-want.ResetAfter).Abs() > 2*time.Microsecond {
				t.Fatalf("%+v, cost %d: script says %+v, model says %+v", limit, cost, got, want)
			}
		}
	}
}

// Two nodes with one Redis admit what one would, and checks travel together.
func TestTwoNodesShareALimit(t *testing.T) {
	s := newServer(t)
	nodes := []*Limiter{newTest(t, s.on), newTest(t, s.on)}
	b := []Bucket{{Limit: perSecond("all", ScopeGlobal, 1, 300)}, {Limit: perSecond("u", ScopeUser, 1, 1000), Key: "ann"}}
	var passed, local atomic.Int64
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			for range 30 {
				d := nodes[i%2].Check(t.Context(), b)
				if d.Source == SourceLocal {
					local.Add(1)
				}
				if d.Allowed {
					passed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if passed.Load() != 300 || local.Load() != 0 {
		t.Errorf("admitted %d with %d local decisions, want 300 and 0", passed.Load(), local.Load())
	}
	if got := admitted(t, nodes[0], 1000, b[1]); got != 700 {
		t.Errorf("the user has %d left, want 700", got)
	}
}

// What Redis admitted is owed locally too: no second burst after a switch.
func TestSwitchToLocalIsWarm(t *testing.T) {
	s := newServer(t)
	l := newTest(t, func(o *Options) {
		s.on(o)
		o.Size = func() int { return 2 }
	})
	b := Bucket{Limit: perSecond("r", ScopeUser, 1, 100), Key: "ann"}
	if got := admitted(t, l, 30, b); got != 30 {
		t.Fatalf("Redis admitted %d, want 30", got)
	}
	l.breaker.fail(breakerFailures, false, l.elapsed())
	if l.Mode() != ModeLocal {
		t.Fatalf("mode is %s, want local", l.Mode())
	}
	d := l.Check(t.Context(), []Bucket{b})
	if !d.Allowed || d.Source != SourceLocal || d.Remaining != 19 {
		t.Errorf("got %+v, want 19 left: half of 100, less 30 and this one", d)
	}
}

// What others took is gone here too: a node that got little of an empty bucket
// has not saved its share up for the switch.
func TestSwitchToLocalFollowsTheBucket(t *testing.T) {
	s := newServer(t)
	two := func(o *Options) {
		s.on(o)
		o.Size = func() int { return 2 }
	}
	greedy, starved := newTest(t, two), newTest(t, two)
	b := Bucket{Limit: perSecond("r", ScopeUser, 1, 100), Key: "ann"}
	admitted(t, greedy, 80, b)
	if got := admitted(t, starved, 1, b); got != 1 {
		t.Fatalf("Redis admitted %d, want 1", got)
	}
	starved.breaker.fail(breakerFailures, false, starved.elapsed())
	if got := admitted(t, starved, 20, b); got != 9 {
		t.Errorf("admitted %d by the share, want 9: half of the 19 that were left", got)
	}
}

func TestHostileKeysInRedis(t *testing.T) {
	s := newServer(t)
	l := newTest(t, s.on)
	limit := perSecond("r", ScopeUser, 1, 1)
	for _, key := range []string{"", "\x00", "a\r\nDEL x\r\n", "{tag}", string(make([]byte, 1<<20)), "\xff\xfe"} {
		b := Bucket{Limit: limit, Key: key}
		if got := admitted(t, l, 3, b); got != 1 {
			t.Errorf("key %.20q admitted %d, want 1", key, got)
		}
	}
	for _, key := range s.Keys() {
		if len(key) > 200 {
			t.Errorf("a key of %d bytes, want at most 200", len(key))
		}
	}
	// A value that is no number counts as a full bucket, as if it were not there.
	if err := s.Set("rate:test:r:broken", "x"); err != nil {
		t.Fatal(err)
	}
	if d := l.Check(t.Context(), []Bucket{{Limit: limit, Key: "broken"}}); !d.Allowed || d.Source != SourceRedis {
		t.Errorf("got %+v, want allowed by redis", d)
	}
}
