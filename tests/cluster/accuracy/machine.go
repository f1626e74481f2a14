package accuracy

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	budget      = 10 * time.Millisecond // of a check, by default
	spare       = 2 * time.Millisecond  // for the scheduler
	busyLimit   = 0.70                  // of the machine; above it a miss tells nothing
	timersLimit = 0.01                  // of plain timers late; above it latencies tell nothing

	ticksPerSecond = 100 // of the figures in /proc, on every Linux that is met
)

// watch measures the machine itself while a run lasts.
type watch struct {
	began   time.Time
	before  ticks
	spent   time.Duration
	done    chan struct{}
	waiting sync.WaitGroup
	late    []time.Duration // how late plain timers of one budget came
}

func newWatch() *watch {
	w := &watch{began: time.Now(), before: readTicks(), spent: spent(), done: make(chan struct{})}
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
	busy  float64       // of all cores, from 0 to 1, by whomever
	own   float64       // of that, by this process and those it started
	late  float64       // part of plain timers that came more than spare late
	worst time.Duration // the latest of them
}

// stop ends the watch.
func (w *watch) stop() noise {
	close(w.done)
	w.waiting.Wait()
	cores := time.Since(w.began).Seconds() * float64(runtime.NumCPU())
	n := noise{busy: readTicks().since(w.before), own: (spent() - w.spent).Seconds() / cores}
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

func (n noise) tooBusy() string { return "machine " + percent(n.busy) + " busy" }

// spent is the processor time of this process and of all it ever started.
func spent() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		if syscall.Getrusage(who, &usage) == nil {
			sum += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		}
	}
	running, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return sum
	}
	for _, path := range running {
		if text, err := os.ReadFile(path); err == nil { // it may have ended
			sum += childTime(string(text), os.Getpid())
		}
	}
	return sum
}

// childTime reads a process's stat: its time if it is a child of parent. What
// comes before the last parenthesis is its name.
func childTime(stat string, parent int) time.Duration {
	_, rest, _ := strings.Cut(stat[strings.LastIndex(stat, ")")+1:], " ")
	fields := strings.Fields(rest)
	if len(fields) < 13 || fields[1] != strconv.Itoa(parent) {
		return 0
	}
	user, _ := strconv.Atoi(fields[11]) // the kernel writes numbers
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / ticksPerSecond
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
