package soak

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const mebibyte = 1 << 20

// figure is something of a node that must not grow.
type figure struct {
	name, metric string
	unit         float64 // what one of its numbers is in the report
	slack        float64 // growth that is none, in units; or growthPart, if that is more
	rest         float64 // what may be left without load, in units; 0: what is remembered may stay
}

const growthPart = 0.10

func figures() []figure {
	return []figure{
		{"resident memory, MiB", "process_resident_memory_bytes", mebibyte, 6, 0},
		{"heap after a collection, MiB", "go_memstats_heap_alloc_bytes", mebibyte, 4, 0},
		{"goroutines", "go_goroutines", 1, 100, 10},
		{"descriptors", "process_open_fds", 1, 100, 10},
	}
}

// sample is what a node held at a moment of the run.
type sample struct {
	at     time.Duration
	values []float64 // one for each figure, in its unit
}

// take asks a node, after a collection, so that garbage does not count.
func take(tb testing.TB, g *harness.Gateway, at time.Duration) sample {
	tb.Helper()
	harness.Ask(tb, "GET", "http://"+g.Admin+"/debug/pprof/heap?gc=1", "")
	metrics := g.Metrics()
	s := sample{at: at}
	for _, f := range figures() {
		s.values = append(s.values, metrics.Sum(f.metric)/f.unit)
	}
	return s
}

// growth is how one figure of one node went.
type growth struct {
	figure
	warm, end     float64 // lower quartiles of the second and of the last fifth of the run
	perHour       float64 // slope of the straight line through all after the first fifth
	before, after float64 // without load
}

// watched is what a node held: in the run, and before and after it, without load.
type watched struct {
	samples       []sample
	before, after sample
}

// grown judges the n-th figure of a node by its samples, of which there are at least
// five. The first fifth is for warming up. What leaks does not come back, so it raises
// the floor; what a stall needed for a moment does not, hence the lower quartile.
func (w *watched) grown(n int) growth {
	samples := w.samples
	fifth := len(samples) / 5
	warm := samples[fifth:]
	return growth{
		before: w.before.values[n], after: w.after.values[n],
		figure:  figures()[n],
		warm:    quartile(warm[:fifth], n),
		end:     quartile(samples[len(samples)-fifth:], n),
		perHour: slope(warm, n) * float64(time.Hour),
	}
}

// holds reports whether it did not grow.
func (g growth) holds() bool {
	return g.end <= max(g.warm*(1+growthPart), g.warm+g.slack) && g.rested()
}

// rested reports whether, without load, no more is left than was there before.
func (g growth) rested() bool { return g.rest == 0 || g.after <= g.before+g.rest }

func (g growth) String() string {
	return fmt.Sprintf("%s: %.1f when warm, %.1f at the end; %.1f before, %.1f after", g.name, g.warm, g.end, g.before, g.after)
}

func quartile(samples []sample, n int) float64 {
	var all []float64
	for _, s := range samples {
		all = append(all, s.values[n])
	}
	slices.Sort(all)
	return all[len(all)/4]
}

// slope is that of the line of least squares, per nanosecond.
func slope(samples []sample, n int) float64 {
	var t, v float64
	for _, s := range samples {
		t += float64(s.at) / float64(len(samples))
		v += s.values[n] / float64(len(samples))
	}
	var up, across float64
	for _, s := range samples {
		up += (float64(s.at) - t) * (s.values[n] - v)
		across += (float64(s.at) - t) * (float64(s.at) - t)
	}
	if across == 0 {
		return 0
	}
	return up / across
}
