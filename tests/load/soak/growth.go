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
}

const growthPart = 0.10

func figures() []figure {
	return []figure{
		{"resident memory, MiB", "process_resident_memory_bytes", mebibyte, 6},
		{"heap after a collection, MiB", "go_memstats_heap_alloc_bytes", mebibyte, 4},
		{"goroutines", "go_goroutines", 1, 25},
		{"descriptors", "process_open_fds", 1, 25},
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
	warm, end float64 // medians of the second and of the last fifth of the run
	perHour   float64 // slope of the straight line through all after the first fifth
}

// grown judges the n-th figure of a node by its samples, of which there are at least
// five. The first fifth is for warming up.
func grown(samples []sample, n int) growth {
	fifth := len(samples) / 5
	warm := samples[fifth:]
	return growth{
		figure:  figures()[n],
		warm:    median(warm[:fifth], n),
		end:     median(samples[len(samples)-fifth:], n),
		perHour: slope(warm, n) * float64(time.Hour),
	}
}

// holds reports whether it did not grow.
func (g growth) holds() bool {
	return g.end <= max(g.warm*(1+growthPart), g.warm+g.slack)
}

func (g growth) String() string {
	return fmt.Sprintf("%s: %.1f when warm, %.1f at the end", g.name, g.warm, g.end)
}

func median(samples []sample, n int) float64 {
	var all []float64
	for _, s := range samples {
		all = append(all, s.values[n])
	}
	slices.Sort(all)
	return all[len(all)/2]
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
