package stage

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Load is a number of requests, sent by one thread on the core of the others. It is
// there beside wrk, which knows no constant rate and no million of tokens.
type Load struct {
	Addrs       []string // taken in turn by the connections
	Connections int      // of all addresses together
	Requests    int
	// Rate is how many requests fall due in a second, at equal distances, whether or
	// not earlier ones are answered. 0: each connection sends as soon as it may.
	Rate float64
	// Append writes the i-th request to the end of b: a GET without a body.
	Append func(b []byte, i int) []byte

	answered atomic.Int64
}

// Timing is how long the answers took: from the moment a request was due to the last
// byte of its answer. A request that fell due while all connections were busy has
// waited for one.
type Timing struct {
	PerSecond     float64
	P50, P99, Max time.Duration
}

// Answered is how many answers have come so far. Safe for concurrent use.
func (l *Load) Answered() int { return int(l.answered.Load()) }

// Run sends the load and returns when the last answer has come. An answer that is no
// 200 ends it: figures from refusals would mean nothing.
func (l *Load) Run(ctx context.Context) (Timing, error) {
	// The thread must not end here: processes that it started would end with it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	release, err := bind(otherCore)
	if err != nil {
		return Timing{}, fmt.Errorf("cannot bind the load to core %d: %w", otherCore, err)
	}
	defer release()
	return l.send(ctx)
}

// turn is how long the thread wants to run at once.
const turn = 100 * time.Microsecond

// bind binds this thread to one core until release is called. There it asks for short
// turns, for which Linux (6.12 and later) lets it run as soon as it wakes: else it waits
// behind the upstream for milliseconds, which would be all that a p99 shows.
func bind(core int) (release func(), err error) {
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, err
	}
	set.Set(core)
	usual, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return nil, err
	}
	short := *usual
	short.Runtime = uint64(turn)
	_ = unix.SchedSetAttr(0, &short, 0) // a wish: where it is not heard nothing is different
	release = func() {
		_ = unix.SchedSetAttr(0, usual, 0)
		_ = unix.SchedSetaffinity(0, &before)
	}
	return release, unix.SchedSetaffinity(0, &set)
}

func (l *Load) send(ctx context.Context) (Timing, error) {
	s, err := newSender(l)
	if err != nil {
		return Timing{}, err
	}
	defer s.close()
	start := time.Now()
	if err := s.run(ctx, start); err != nil {
		return Timing{}, fmt.Errorf("after %d answers: %w", len(s.took), err)
	}
	return timing(s.took, time.Since(start)), nil
}

// timing sorts what the answers took.
func timing(took []time.Duration, all time.Duration) Timing {
	if len(took) == 0 {
		return Timing{}
	}
	slices.Sort(took)
	at := func(share float64) time.Duration { return took[int(share*float64(len(took)-1))] }
	return Timing{PerSecond: float64(len(took)) / all.Seconds(), P50: at(0.5), P99: at(0.99), Max: at(1)}
}
