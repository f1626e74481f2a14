package limiter

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func newTestBreaker(random float64) (*breaker, *int) {
	opens := new(int)
	b := newBreaker(0, func() float64 { return random }, func() { *opens++ })
	return b, opens
}

func TestBreakerOpens(t *testing.T) {
	f := func(name string, want bool, play func(b *breaker)) {
		t.Helper()
		b, opens := newTestBreaker(0)
		play(b)
		if got := !b.closed(); got != want || *opens > 1 {
			t.Errorf("%s: open %v after %d openings, want %v", name, got, *opens, want)
		}
	}
	sec := int64(time.Second)
	f("4 in a row", false, func(b *breaker) { b.fail(4, false, 0) })
	f("5 in a row", true, func(b *breaker) { b.fail(5, false, 0) })
	f("5 in a row, one by one, slowly", true, func(b *breaker) {
		for i := range int64(5) {
			b.fail(1, false, i*10*sec)
		}
	})
	f("broken by a success", false, func(b *breaker) {
		b.fail(4, false, 0)
		b.succeed(1, 0)
		b.fail(4, false, 0)
	})
	late := func(calls, pauses int) func(*breaker) {
		return func(b *breaker) {
			b.succeed(calls-pauses, 0)
			for range pauses {
				b.fail(1, true, 0)
			}
		}
	}
	f("a tenth of 30 late, in three pauses", true, late(30, 3))
	f("a tenth of 20 late, in two pauses", false, late(20, 2))
	f("most late, in two pauses", false, func(b *breaker) {
		b.succeed(10, 0)
		b.fail(30, true, 0)
		b.fail(30, true, 0)
	})
	f("a sixth of 19 late", false, late(19, 3))
	f("less than a tenth late", false, late(104, 4))
	f("a tenth broken, but not late", false, func(b *breaker) {
		b.succeed(18, 0)
		b.fail(2, false, 0)
	})
	f("late ones of another second", false, func(b *breaker) {
		b.fail(4, true, 0)
		b.succeed(18, sec)
	})
	f("more failures once open", true, func(b *breaker) {
		b.fail(5, false, 0)
		b.fail(50, false, 0)
	})
}

func TestBreakerPauses(t *testing.T) {
	b, _ := newTestBreaker(0.5)
	f := func(want time.Duration) {
		t.Helper()
		if got := b.pause(); got != want {
			t.Errorf("paused %s, want %s", got, want)
		}
	}
	ms := time.Millisecond
	f(250 * ms)
	f(375 * ms)
	f(625 * ms)
	f(1125 * ms)
	f(2125 * ms)
	f(2625 * ms)
	f(2625 * ms) // the range ends at 5 s
	b.state.Store(breakerOpen)
	b.close(0)
	b.fail(5, false, int64(time.Second)) // it held for a second only
	f(2625 * ms)
	b.close(0)
	b.fail(5, false, int64(6*time.Second))
	f(250 * ms)
}

func TestProber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		now := func() int64 { return int64(time.Since(start)) }
		b, _ := newTestBreaker(1)
		var probes, warmed, closes atomic.Int64
		var bad func(n int64) bool
		p := &prober{
			breaker: b,
			probe: func(context.Context) error {
				n := probes.Add(1)
				if b.state.Load() == breakerOpen {
					t.Error("probed while open")
				}
				if bad(n) {
					return errors.New("no")
				}
				return nil
			},
			warm:    func(context.Context) { warmed.Add(1) },
			onClose: func(context.Context) { closes.Add(1) },
			now:     now,
		}
		done := make(chan struct{})
		go func() { p.run(ctx); close(done) }()
		synctest.Wait()

		// Two good probes are not enough: the third fails twice.
		bad = func(n int64) bool { return n == 3 || n == 6 }
		b.fail(5, false, now())
		time.Sleep(250*time.Millisecond + 500*time.Millisecond + time.Second - 1)
		synctest.Wait()
		if b.closed() || probes.Load() != 6 {
			t.Errorf("closed %v after %d probes, want open after 6", b.closed(), probes.Load())
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if !b.closed() || probes.Load() != 9 || closes.Load() != 1 || warmed.Load() != 2 {
			t.Errorf("closed %v, probes %d, closes %d, warmed %d; want true, 9, 1, 2", b.closed(), probes.Load(), closes.Load(), warmed.Load())
		}
		cancel()
		<-done
	})
}

// A peer that is back is a reason to ask at once, and one that is lost is none. The
// shortest pause is kept all the same.
func TestProberFollowsPeers(t *testing.T) {
	const second, wait = time.Second, 4 * time.Second
	f := func(peers func(at time.Duration) int, want time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			p := &prober{peers: func() int { return peers(time.Since(start)) }}
			if !p.await(t.Context(), wait) {
				t.Fatal("the wait was broken off")
			}
			if got := time.Since(start); got != want {
				t.Errorf("waited %s, want %s", got, want)
			}
		})
	}
	from := func(before int, at time.Duration, after int) func(time.Duration) int {
		return func(now time.Duration) int {
			if now < at {
				return before
			}
			return after
		}
	}
	f(from(2, 0, 2), wait)
	f(from(2, second, 1), openMin+8*peersEach)
	f(from(2, 100*time.Millisecond, 1), wait)
	f(from(1, second, 2), wait)
}

// An idle node is asked for as well: it notices that Redis is gone.
func TestIdleNodeNoticesTheLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		b, opened := newTestBreaker(1)
		var probes atomic.Int64
		p := &prober{
			breaker: b,
			probe:   func(context.Context) error { probes.Add(1); return errors.New("no") },
			warm:    func(context.Context) {},
			now:     func() int64 { return int64(time.Since(start)) },
		}
		done := make(chan struct{})
		go func() { p.run(ctx); close(done) }()
		b.succeed(1, 0) // a check in the first second
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if n := probes.Load(); n != 0 {
			t.Errorf("probed %d times although a check was answered, want 0", n)
		}
		time.Sleep(breakerFailures * time.Second)
		synctest.Wait()
		if *opened != 1 {
			t.Errorf("the breaker opened %d times after %d seconds without Redis, want once", *opened, breakerFailures)
		}
		cancel()
		<-done
	})
}

// Under a Redis that fails half of the time the breaker does not flap: it stays
// open for at least the shortest pause, and longer each time.
func TestBreakerDoesNotFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(5, 6))
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		now := func() int64 { return int64(time.Since(start)) }
		var openedAt, closedAt atomic.Int64
		b := newBreaker(0, rng.Float64, func() { openedAt.Store(now()) })
		fails := func() bool { return rng.IntN(2) == 0 }
		p := &prober{
			breaker: b, now: now, warm: func(context.Context) {},
			probe: func(context.Context) error {
				if fails() {
					return errors.New("no")
				}
				return nil
			},
			onClose: func(context.Context) {
				closedAt.Store(now())
				if open := time.Duration(now() - openedAt.Load()); open < openMin {
					t.Errorf("open for %s, want at least %s", open, openMin)
				}
			},
		}
		done := make(chan struct{})
		go func() { p.run(ctx); close(done) }()
		opens := 0
		for range 60_000 { // a check each millisecond, for a minute
			time.Sleep(time.Millisecond)
			synctest.Wait()
			was := b.closed()
			if was && fails() {
				b.fail(1, true, now())
			} else if was {
				b.succeed(1, now())
			}
			if was && !b.closed() {
				opens++
			}
		}
		if opens < 2 || opens > 60 {
			t.Errorf("opened %d times in a minute, want some times, at most once a second", opens)
		}
		cancel()
		<-done
	})
}

// A pause makes everything late that waits for it: that is one failure, not five.
func TestPauseIsOneFailure(t *testing.T) {
	const budget = 10 * time.Millisecond
	f := func(pauses int, open bool) {
		t.Helper()
		b := newBreaker(budget, func() float64 { return 0 }, func() {})
		now := int64(time.Second)
		b.succeed(1000, now)
		for range pauses {
			b.fail(3, true, now)
			for range 20 {
				b.overdue(now + int64(time.Millisecond))
			}
			now += int64(budget)
		}
		if b.closed() == open {
			t.Errorf("%d pauses: closed %t", pauses, b.closed())
		}
	}
	f(1, false)
	f(breakerFailures-1, false)
	f(breakerFailures, true)
}
