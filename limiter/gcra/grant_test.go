package gcra

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestTakeAtMost(t *testing.T) {
	limit := Limit{Rate: 10, Burst: 10, Period: time.Second}
	f := func(taken, need, want, granted, left int) {
		t.Helper()
		tat, _ := Take(0, 1000, limit, taken)
		tat, n, r := TakeAtMost(tat, 1000, limit, need, want)
		if n != granted || r.Allowed != (granted > 0) || r.Remaining != left {
			t.Errorf("%d of 10 gone, need %d, want %d: granted %d, left %d (%+v); want %d, %d",
				taken, need, want, n, r.Remaining, r, granted, left)
		}
		if again := Peek(tat, 1000, limit, 0).Remaining; again != left {
			t.Errorf("the TAT holds %d tokens, the result says %d", again, left)
		}
	}
	f(0, 1, 4, 4, 6)
	f(8, 1, 4, 2, 0)
	f(8, 3, 4, 0, 2)
	f(10, 1, 4, 0, 0)
	f(0, 1, 100, 10, 0)
	f(0, 5, 2, 5, 5)
	f(0, 0, 0, 1, 9)
}

// A bucket that is drained whenever it holds a fraction of a token gives all it
// is due: what a grant leaves behind is never lost.
func TestTakeAtMostLosesNothing(t *testing.T) {
	limit := Limit{Rate: 100, Burst: 100, Period: time.Second}
	tat, _ := Take(0, 0, limit, 100)
	rng := rand.New(rand.NewPCG(1, 2))
	now, got := int64(0), 0
	for now < int64(10*time.Second) {
		now += rng.Int64N(int64(25 * time.Millisecond)) // 1.25 tokens each time
		var n int
		tat, n, _ = TakeAtMost(tat, now, limit, 1, 5)
		got += n
	}
	if due := int(now / int64(limit.Interval())); got < due-1 || got > due {
		t.Errorf("granted %d of %d due", got, due)
	}
}

func TestOwed(t *testing.T) {
	limit := Share(Limit{Rate: 100, Burst: 100, Period: time.Second}, 2) // 20 ms a token
	ms := int64(time.Millisecond)
	f := func(from, tat, now int64, want int) {
		t.Helper()
		if got := Owed(from*ms, tat*ms, now*ms, limit); got != want {
			t.Errorf("from %d ms to %d ms at %d ms: owed %d, want %d", from, tat, now, got, want)
		}
	}
	f(0, 100, 0, 5)
	f(40, 100, 0, 3)
	f(40, 100, 80, 1) // the rest came back
	f(0, 19, 0, 0)
	f(100, 40, 0, 0)
	f(0, 1_000_000, 0, 100) // never more than a full bucket
}
