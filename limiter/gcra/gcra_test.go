package gcra

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func perSecond(rate, burst int) Limit { return Limit{Rate: rate, Burst: burst, Period: time.Second} }

func TestTake(t *testing.T) {
	const ms = int64(time.Millisecond)
	f := func(name string, l Limit, tat, now int64, n int, wantTAT int64, want Result) {
		t.Helper()
		gotTAT, got := Take(tat, now, l, n)
		if gotTAT != wantTAT || got != want {
			t.Errorf("%s: Take(%d, %d, %v, %d) = %d, %+v; want %d, %+v", name, tat, now, l, n, gotTAT, got, wantTAT, want)
		}
	}
	l := perSecond(10, 10) // one token in 100 ms
	f("first", l, 0, 0, 1, 100*ms, Result{true, 9, 0, 100 * time.Millisecond})
	f("long idle counts once", l, 0, 5000*ms, 1, 5100*ms, Result{true, 9, 0, 100 * time.Millisecond})
	f("all at once", l, 0, 0, 10, 1000*ms, Result{true, 0, 0, time.Second})
	f("last token", l, 900*ms, 0, 1, 1000*ms, Result{true, 0, 0, time.Second})
	f("empty", l, 1000*ms, 0, 1, 1000*ms, Result{false, 0, 100 * time.Millisecond, time.Second})
	f("a nanosecond short", l, 900*ms+1, 0, 1, 900*ms+1, Result{false, 0, 1, 900*time.Millisecond + 1})
	f("some left but too few", l, 800*ms, 0, 3, 800*ms, Result{false, 2, 100 * time.Millisecond, 800 * time.Millisecond})
	f("more than burst", l, 0, 0, 11, 0, Result{false, 10, 100 * time.Millisecond, 0})
	f("nothing", l, 300*ms, 0, 0, 300*ms, Result{true, 7, 0, 300 * time.Millisecond})
	f("negative is nothing", l, 300*ms, 0, -4, 300*ms, Result{true, 7, 0, 300 * time.Millisecond})
	f("far ahead is pulled back, denied", l, 3_600_000*ms, 0, 1, 1000*ms, Result{false, 0, 100 * time.Millisecond, time.Second})
	f("zero limit", Limit{}, 0, 0, 1, 0, Result{false, 0, math.MaxInt64, 0})
}

func TestShareIsExact(t *testing.T) {
	f := func(l Limit, members, cost int, window time.Duration, want int) {
		t.Helper()
		l = Share(l, members)
		got, tat := 0, int64(0)
		for now := int64(0); now <= int64(window); now += int64(100 * time.Millisecond) {
			var r Result
			if tat, r = Take(tat, now, l, cost); r.Allowed {
				got++
			}
		}
		if got != want {
			t.Errorf("share of %d of %d/%s burst %d: admitted %d in %s, want %d", members, l.Rate, l.Period, l.Burst, got, window, want)
		}
	}
	perMinute := Limit{Rate: 5, Burst: 5, Period: time.Minute}
	f(perMinute, 1, 1, time.Hour, 5+300)
	f(perMinute, 3, 1, time.Hour, 1+100) // a burst of 5/3, and 100 an hour
	f(perMinute, 5, 1, time.Hour, 1+60)
	f(perMinute, 50, 1, time.Hour, 1+6) // a burst of 0.1 still holds a request
	f(perSecond(100, 100), 4, 10, 10*time.Second, 2+25)
	f(perMinute, 0, 1, time.Hour, 5+300) // no members count as one
}

// Costs of different sizes on a share smaller than some of them: a cheap
// request must not forgive what a dear one owes.
func TestSmallShareMixedCosts(t *testing.T) {
	l := Share(perSecond(10, 10), 10) // one token a second
	admitted, tat := 0, int64(0)
	for now := int64(0); now <= int64(100*time.Second); now += int64(100 * time.Millisecond) {
		for _, cost := range []int{5, 1} {
			var r Result
			if tat, r = Take(tat, now, l, cost); r.Allowed {
				admitted += cost
			}
		}
	}
	if admitted > 100+5 {
		t.Errorf("admitted %d tokens in 100 s at 1/s, want at most 105", admitted)
	}
}

func TestPeekRefundCharge(t *testing.T) {
	l := perSecond(10, 10)
	tat, _ := Take(0, 50, l, 3)
	if r := Peek(tat, 50, l, 1); !r.Allowed || r.Remaining != 7 {
		t.Errorf("Peek(1) = %+v, want allowed with 7 left", r)
	}
	if r := Peek(tat, 50, l, 8); r.Allowed || r.Remaining != 7 || r.RetryAfter != 100*time.Millisecond {
		t.Errorf("Peek(8) = %+v, want denied for 100ms with 7 left", r)
	}
	if got := Refund(tat, 50, l, 3); got != 50 {
		t.Errorf("Refund(3) = %d, want 50: the bucket is full again", got)
	}
	if got := Refund(tat, 50, l, 1000); got != 50 {
		t.Errorf("Refund(1000) = %d, want 50: a bucket never holds more than its burst", got)
	}
	if got := Charge(tat, 50, l, 1000); got != 50+int64(time.Second) {
		t.Errorf("Charge(1000) = %d, want %d: a bucket never owes more than to be empty", got, 50+int64(time.Second))
	}
}

// In no window does a bucket admit more than burst + rate·w.
func TestWindowBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		l := Share(perSecond(1+rng.IntN(50), 1+rng.IntN(50)), 1+rng.IntN(4))
		type grant struct {
			at int64
			n  int
		}
		var grants []grant
		tat, now := int64(0), int64(0)
		for range 300 {
			now += rng.Int64N(int64(100 * time.Millisecond))
			n := 1 + rng.IntN(min(l.Burst, 3))
			var r Result
			if tat, r = Take(tat, now, l, n); r.Allowed {
				grants = append(grants, grant{now, n})
			}
		}
		rate := float64(l.Rate) / float64(l.members) / float64(time.Second)
		burst := max(float64(l.Burst)/float64(l.members), 3)
		for i := range grants {
			sum := 0
			for _, g := range grants[i:] {
				sum += g.n
				if bound := burst + rate*float64(g.at-grants[i].at) + 1e-6; float64(sum) > bound {
					t.Fatalf("%+v admitted %d in %s, want at most %f", l, sum, time.Duration(g.at-grants[i].at), bound)
				}
			}
		}
	}
}

func FuzzTake(f *testing.F) {
	f.Add(int64(0), int64(0), 10, 10, int64(time.Second), 1, 1)
	f.Add(int64(math.MaxInt64), int64(1), 1, math.MaxInt, int64(24*time.Hour), 3, 5)
	f.Fuzz(func(t *testing.T, tat, now int64, rate, burst int, period int64, members, n int) {
		if now < 0 || rate < 0 || burst < 0 || period < 0 {
			return
		}
		l := Share(Limit{Rate: rate, Burst: burst, Period: time.Duration(period)}, min(members, 1000))
		next, r := Take(tat, now, l, n)
		if next < now || r.Remaining < 0 || r.RetryAfter < 0 || r.ResetAfter < 0 {
			t.Errorf("Take(%d, %d, %+v, %d) = %d, %+v: nothing may be negative", tat, now, l, n, next, r)
		}
		if r.Allowed != (r.RetryAfter == 0) {
			t.Errorf("Take(%d, %d, %+v, %d) = %+v: there is a wait exactly when denied", tat, now, l, n, r)
		}
		if back := Refund(next, now, l, n); r.Allowed && back > max(next, now) {
			t.Errorf("Refund(%d) = %d: a refund may not take", next, back)
		}
		if again, _ := Take(next, now, l, 0); !r.Allowed && again != next {
			t.Errorf("after a denial the TAT moved from %d to %d", next, again)
		}
	})
}

func BenchmarkTake(b *testing.B) {
	l := Share(perSecond(1_000, 1_000), 3)
	var tat, now int64
	for b.Loop() {
		now += 500_000
		tat, _ = Take(tat, now, l, 1)
	}
}
