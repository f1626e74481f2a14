package limiter

import (
	"sync"
	"sync/atomic"
	"time"
)

// The states of the breaker, with the numbers the metric shows.
const (
	breakerClosed int32 = iota
	breakerHalfOpen
	breakerOpen
)

const (
	breakerFailures = 5 // in a row
	breakerMinCalls = 20
	breakerRatio    = 0.10 // of timeouts among them
	// One pause may make late what many clients asked at the same moment.
	breakerMinPauses = 3
	breakerWindow    = int64(time.Second)
	openMin          = 250 * time.Millisecond
	openMax          = 5 * time.Second
	probesToClose    = 3
)

// breaker decides whether Redis may be asked. It opens by itself and is led
// back by the prober; it never lets a request try. Time is handed in, in
// nanoseconds. Safe for concurrent use.
//
// What is late at the same time is late for one reason: a Redis, or a scheduler,
// that pauses for a moment makes all checks late that wait for it. Of those one in
// a budget counts as the next in a row.
type breaker struct {
	budget int64 // of a check, in nanoseconds
	random func() float64
	opened chan struct{} // holds one signal after each opening
	onOpen func()

	state atomic.Int32
	asked atomic.Bool // a check was counted since idle was last called

	mu       sync.Mutex
	inRow    int
	lateAt   int64 // when a late check last counted for inRow
	since    int64 // start of the window
	pauses   int   // in which checks were late, in the window
	calls    int
	timeouts int
	wait     time.Duration // the longest next wait
	closedAt int64
}

func newBreaker(budget time.Duration, random func() float64, onOpen func()) *breaker {
	return &breaker{budget: int64(budget), random: random, onOpen: onOpen, opened: make(chan struct{}, 1), wait: openMin}
}

// closed tells whether Redis may be asked.
func (b *breaker) closed() bool { return b.state.Load() == breakerClosed }

// idle tells whether no check was counted since it was last called.
func (b *breaker) idle() bool { return !b.asked.Swap(false) }

// succeed counts n answered checks.
func (b *breaker) succeed(n int, now int64) {
	if n == 0 || !b.closed() {
		return
	}
	b.asked.Store(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inRow = 0
	b.countLocked(n, 0, now)
}

// fail counts n failed checks; timeout tells whether they were late.
func (b *breaker) fail(n int, timeout bool, now int64) {
	if n == 0 || !b.closed() {
		return
	}
	if b.failed(n, timeout, now) {
		b.announce()
	}
}

// overdue counts a check that waited in vain for an answer to another one: a sign
// that Redis is still silent, but no call.
func (b *breaker) overdue(now int64) {
	if b.closed() && b.failed(0, true, now) {
		b.announce()
	}
}

func (b *breaker) announce() {
	b.onOpen()
	select {
	case b.opened <- struct{}{}:
	default: // nobody took the last one yet
	}
}

// failed tells whether this failure opened the breaker.
func (b *breaker) failed(n int, timeout bool, now int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed() {
		return false
	}
	if timeout {
		b.countLocked(n, n, now)
		b.inRow += b.pausesLocked(now)
	} else {
		b.countLocked(n, 0, now)
		b.inRow += n
	}
	tooMany := b.calls >= breakerMinCalls && b.pauses >= breakerMinPauses && float64(b.timeouts) >= breakerRatio*float64(b.calls)
	if b.inRow < breakerFailures && !tooMany {
		return false
	}
	if now-b.closedAt > int64(openMax) {
		b.wait = openMin // it held for a while: a new story
	}
	b.state.Store(breakerOpen)
	return true
}

// pausesLocked is 1 if a check that is late now belongs to another pause than the
// last one that counted.
func (b *breaker) pausesLocked(now int64) int {
	if b.lateAt != 0 && now-b.lateAt < b.budget {
		return 0
	}
	b.lateAt = now
	b.pauses++
	return 1
}

func (b *breaker) countLocked(calls, timeouts int, now int64) {
	if now-b.since >= breakerWindow || now < b.since {
		b.since, b.pauses, b.calls, b.timeouts = now, 0, 0, 0
	}
	b.calls += calls
	b.timeouts += timeouts
}

// pause is how long to stay open now. It has full jitter above the shortest
// wait, and the range doubles each time, so that many nodes do not return at
// the same moment and one does not flap.
func (b *breaker) pause() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := openMin + time.Duration(b.random()*float64(b.wait-openMin))
	b.wait = min(2*b.wait, openMax)
	return d
}

// try marks that the probe is asking.
func (b *breaker) try() { b.state.Store(breakerHalfOpen) }

// reopen marks that the probe failed.
func (b *breaker) reopen() { b.state.Store(breakerOpen) }

// close lets checks go to Redis again.
func (b *breaker) close(now int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inRow, b.calls, b.timeouts, b.since = 0, 0, 0, now
	b.closedAt = now
	b.state.Store(breakerClosed)
}
