package accuracy

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// machine is what a run stands on.
type machine struct{ cores, golang, redis, commit string }

// inspect asks the tools; what one does not tell is "unknown".
func inspect() machine {
	return machine{
		cores:  strconv.Itoa(runtime.NumCPU()),
		golang: runtime.Version(),
		redis:  redisVersion(output("redis-server", "--version")),
		commit: output("git", "describe", "--always", "--dirty", "--abbrev=12"),
	}
}

func output(name string, args ...string) string {
	text, err := exec.Command(name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

func redisVersion(text string) string {
	for _, field := range strings.Fields(text) {
		if version, ok := strings.CutPrefix(field, "v="); ok {
			return version
		}
	}
	return "unknown"
}

const (
	budget    = 10 * time.Millisecond // of a check, by default
	spare     = 2 * time.Millisecond  // for the scheduler
	busyLimit = 0.70                  // of the machine; above it latencies tell nothing
)

// watch measures the machine itself while a run lasts.
type watch struct {
	before  ticks
	done    chan struct{}
	waiting sync.WaitGroup
	late    []time.Duration // how late plain timers of one budget came
}

func newWatch() *watch {
	w := &watch{before: readTicks(), done: make(chan struct{})}
	w.waiting.Go(func() {
		for {
			start := time.Now()
			select {
			case <-w.done:
				return
			case <-time.After(budget):
				w.late = append(w.late, time.Since(start)-budget)
			}
		}
	})
	return w
}

// noise is the machine's own part in what a run shows.
type noise struct {
	busy  float64       // of all cores, from 0 to 1
	late  float64       // part of plain timers that came more than spare late
	worst time.Duration // the latest of them
}

// stop ends the watch.
func (w *watch) stop() noise {
	close(w.done)
	w.waiting.Wait()
	n := noise{busy: readTicks().since(w.before)}
	if len(w.late) == 0 {
		return n
	}
	for _, late := range w.late {
		if late > spare {
			n.late++
		}
	}
	n.late /= float64(len(w.late))
	n.worst = slices.Max(w.late)
	return n
}

// ticks are what the kernel counts of all cores: idle ones and all.
type ticks struct{ idle, all float64 }

// readTicks reads /proc/stat, zeros where there is none.
func readTicks() ticks {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return ticks{}
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return parseTicks(line)
}

// parseTicks reads the line that sums up all cores. Idle are the fourth and the
// fifth column (waiting for disks); the guests' are already in the first two.
func parseTicks(line string) ticks {
	var t ticks
	for i, field := range strings.Fields(strings.TrimPrefix(line, "cpu")) {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil || i > 7 {
			break
		}
		t.all += n
		if i == 3 || i == 4 {
			t.idle += n
		}
	}
	return t
}

// since is how busy the machine was from before to t.
func (t ticks) since(before ticks) float64 {
	if t.all == before.all {
		return 0
	}
	return 1 - (t.idle-before.idle)/(t.all-before.all)
}
