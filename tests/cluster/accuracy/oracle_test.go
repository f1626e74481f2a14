package accuracy

import (
	"testing"
	"time"
)

// every returns n times, step apart, beginning with first.
func every(first, step time.Duration, n int) []time.Duration {
	at := make([]time.Duration, n)
	for i := range at {
		at[i] = first + time.Duration(i)*step
	}
	return at
}

func TestExactAdmitsBurstAndRefill(t *testing.T) {
	f := func(want int, sent []time.Duration, l limit) {
		t.Helper()
		if got := exact(sent, l); got != want {
			t.Errorf("got %d of %d, want %d", got, len(sent), want)
		}
	}
	f(10, every(0, 0, 30), limit{rate: 10, burst: 10})
	f(19, every(0, time.Millisecond, 1000), limit{rate: 10, burst: 10})
	f(20, every(0, time.Millisecond, 1001), limit{rate: 10, burst: 10})
	f(1000, every(0, time.Millisecond, 1000), limit{rate: 1000, burst: 1})
	f(1, every(0, time.Microsecond, 1000), limit{rate: 1000, burst: 1})
	f(5, every(0, 0, 30), limit{rate: 10, burst: 10, cost: 2})
	f(1, every(0, 0, 30), limit{rate: 10, burst: 10, cost: 9})
	f(0, every(0, 0, 30), limit{rate: 10, burst: 10, cost: 11})
}

func TestExcessOfTheWorstSecond(t *testing.T) {
	steady := every(0, 10*time.Millisecond, 500)
	bump := append(every(0, 10*time.Millisecond, 200), every(2*time.Second, time.Millisecond, 150)...)
	f := func(want float64, at []time.Duration) {
		t.Helper()
		if got := excess(at, 100); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	f(0, nil)
	f(0, steady)
	f(135, bump) // 150 in 0.15 s and 85 in the 0.85 s before, less 100
}

func TestSurplusIsTheBurstThatExplains(t *testing.T) {
	f := func(want float64, at []time.Duration, rate float64) {
		t.Helper()
		if got := surplus(at, rate); got < want-1e-6 || got > want+1e-6 {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	f(0, nil, 100)
	f(1, every(0, 10*time.Millisecond, 500), 100)
	f(30, every(0, 0, 30), 100)
	f(1+99*.5, every(0, 5*time.Millisecond, 100), 100)
}

// Whatever the exact bucket admits keeps within the bounds the table is judged
// by, at whatever times the requests come.
func TestExactKeepsTheBounds(t *testing.T) {
	l := limit{rate: 200, burst: 50}
	sent := append(every(0, 700*time.Microsecond, 2000), every(3*time.Second, 100*time.Microsecond, 9000)...)
	b := newBucket(float64(l.rate), l.burst)
	var admitted []time.Duration
	for _, at := range sent {
		if b.take(at, 1) {
			admitted = append(admitted, at)
		}
	}
	if got := surplus(admitted, 200); got > 50.001 || got < 49 {
		t.Errorf("a burst of %v explains what a burst of 50 admitted", got)
	}
	if got := excess(admitted, 200); got > 50.001 {
		t.Errorf("a second holds %v beyond the rate, want at most the burst", got)
	}
}

func TestWithin(t *testing.T) {
	at := every(0, time.Second, 10)
	f := func(want int, from, to time.Duration) {
		t.Helper()
		if got := len(within(at, from, to)); got != want {
			t.Errorf("got %d from %s to %s, want %d", got, from, to, want)
		}
	}
	f(10, 0, 10*time.Second)
	f(2, 3*time.Second, 5*time.Second)
	f(0, 5*time.Second, 3*time.Second)
	f(0, time.Minute, time.Hour)
}
