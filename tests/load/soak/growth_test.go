package soak

import (
	"math"
	"testing"
	"time"
)

// series are samples ten seconds apart of which each figure is value(i).
func series(count int, value func(i int) float64) (all []sample) {
	for i := range count {
		v := value(i)
		all = append(all, sample{time.Duration(i) * 10 * time.Second, []float64{v, v, v, v}})
	}
	return all
}

func TestGrowthIsFound(t *testing.T) {
	f := func(name string, want bool, value func(i int) float64) {
		t.Helper()
		for n := range figures() {
			if g := grown(series(180, value), n); g.holds() != want {
				t.Errorf("%s: %s: holds is %t, want %t", name, g, g.holds(), want)
			}
		}
	}
	f("flat", true, func(int) float64 { return 50 })
	f("warming up", true, func(i int) float64 { return 500 - 400/float64(1+i) })
	f("one spike", true, func(i int) float64 { return 50 + 1000*float64(i/179) })
	f("a saw", true, func(i int) float64 { return 50 + float64(i%9) })
	f("a leak", false, func(i int) float64 { return 50 + float64(i)/2 })
	f("a leak of something large", false, func(i int) float64 { return 1000 + 2*float64(i) })
	f("a late step", false, func(i int) float64 { return 50 + 100*float64(i/100) })
}

func TestSlopeIsPerHour(t *testing.T) {
	g := grown(series(180, func(i int) float64 { return 7 + float64(i)/360 }), 0) // an hour has 360 samples
	if math.Abs(g.perHour-1) > 1e-6 {
		t.Errorf("got %v an hour, want 1", g.perHour)
	}
}
