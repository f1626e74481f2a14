package proxy

import (
	"testing"
	"time"
)

func TestBudget(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBudget(now)
	spent := func(want int) {
		t.Helper()
		n := 0
		for n < 1000 && b.spend(now) {
			n++
		}
		if n != want {
			t.Errorf("%d retries, want %d", n, want)
		}
	}
	spent(10) // the reserve
	for range 100 {
		b.earn(0.2)
	}
	spent(10) // never more is kept
	for range 24 {
		b.earn(0.2)
	}
	spent(4)
	now = now.Add(2500 * time.Millisecond)
	spent(3) // 0.8 were left of the earnings
	now = now.Add(5 * 365 * 24 * time.Hour)
	spent(10)
	now = now.Add(-time.Hour) // a clock set back gives nothing and breaks nothing
	spent(0)
}
