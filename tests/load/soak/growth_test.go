package soak

import (
	"math"
	"testing"
	"time"
)

func all(v float64) []float64 { return []float64{v, v, v, v} }

// series is half an hour in which each figure is value(i) in the i-th ten seconds.
func series(value func(i int) float64) *watched {
	w := &watched{before: sample{values: all(20)}, after: sample{values: all(20)}}
	for i := range 180 {
		w.samples = append(w.samples, sample{time.Duration(i) * 10 * time.Second, all(value(i))})
	}
	return w
}

func TestGrowthIsFound(t *testing.T) {
	f := func(name string, want bool, value func(i int) float64) {
		t.Helper()
		for n := range figures() {
			if g := series(value).grown(n); g.holds() != want {
				t.Errorf("%s: %s: holds is %t, want %t", name, g, g.holds(), want)
			}
		}
	}
	f("flat", true, func(int) float64 { return 50 })
	f("warming up", true, func(i int) float64 { return 500 - 400/float64(1+i) })
	f("one spike", true, func(i int) float64 { return 50 + 1000*float64(i/179) })
	f("a saw", true, func(i int) float64 { return 50 + float64(i%9) })
	f("a leak", false, func(i int) float64 { return 50 + float64(i) })
	f("a leak of something large", false, func(i int) float64 { return 1000 + 2*float64(i) })
	f("a late step", false, func(i int) float64 { return 50 + 150*float64(i/100) })
}

// What load needs may stay a while; goroutines and descriptors end with it.
func TestWhatIsLeftWithoutLoadIsFound(t *testing.T) {
	w := series(func(int) float64 { return 50 })
	w.after.values = all(31)
	for n, f := range figures() {
		if g, want := w.grown(n), f.rest == 0; g.holds() != want {
			t.Errorf("%s: holds is %t, want %t", g, g.holds(), want)
		}
	}
}

func TestSlopeIsPerHour(t *testing.T) {
	g := series(func(i int) float64 { return 7 + float64(i)/360 }).grown(0) // an hour has 360 samples
	if math.Abs(g.perHour-1) > 1e-6 {
		t.Errorf("got %v an hour, want 1", g.perHour)
	}
}
