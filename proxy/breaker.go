package proxy

import (
	"sync"
	"sync/atomic"
	"time"
)

// breakerState is what a breaker does with the next request.
type breakerState uint8

const (
	closed   breakerState = iota // lets everything through
	halfOpen                     // lets one trial through
	open                         // lets nothing through
)

func (s breakerState) String() string {
	switch s {
	case closed:
		return "closed"
	case halfOpen:
		return "half_open"
	}
	return "open"
}

// verdict is what one request says about its endpoint.
type verdict uint8

const (
	neutral verdict = iota // nothing, such as a client that went away
	success
	failure
)

// ticket ties a verdict to the state in which its request was let through, so
// that a slow request from before a transition cannot undo it.
type ticket struct{ epoch uint32 }

// breaker counts the failures of one endpoint in a row. Thresholds come with
// every call, since they belong to a configuration and the breaker outlives it.
// A healthy endpoint costs one atomic load per call and no lock.
type breaker struct {
	// notify is called with the lock held, so that transitions are reported in
	// the order they happen; it must not call back.
	notify func(to breakerState)
	// quiet is true while closed without a failure.
	quiet atomic.Bool
	epoch atomic.Uint32

	mu        sync.Mutex
	state     breakerState
	failures  int
	trial     bool // a trial is under way
	since     time.Time
	nextProbe time.Time
}

func newBreaker(now time.Time, notify func(breakerState)) *breaker {
	b := &breaker{notify: notify, since: now}
	b.quiet.Store(true)
	return b
}

// admit asks for a request to be let through. Every admitted request must be
// followed by done with the same ticket, or a trial would never end.
func (b *breaker) admit(now time.Time) (ticket, bool) {
	if t := (ticket{b.epoch.Load()}); b.quiet.Load() {
		return t, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.state == open && now.Before(b.nextProbe), b.state == halfOpen && b.trial:
		return ticket{}, false
	case b.state == open:
		b.moveLocked(halfOpen, now)
	}
	b.trial = b.state == halfOpen
	return ticket{b.epoch.Load()}, true
}

// done reports what became of an admitted request.
func (b *breaker) done(t ticket, v verdict, now time.Time, c BreakerConfig) {
	if v != failure && b.quiet.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.epoch != b.epoch.Load() {
		return
	}
	b.trial = false
	switch v {
	case success:
		b.succeedLocked(now)
	case failure:
		b.failLocked(now, c)
	}
}

func (b *breaker) succeedLocked(now time.Time) {
	b.failures = 0
	if b.state != closed {
		b.moveLocked(closed, now)
	}
	b.quiet.Store(true)
}

func (b *breaker) failLocked(now time.Time, c BreakerConfig) {
	b.failures++
	b.quiet.Store(false)
	if b.state == halfOpen || b.failures >= c.Failures {
		b.nextProbe = now.Add(time.Duration(c.OpenMS) * time.Millisecond)
		b.moveLocked(open, now)
	}
}

func (b *breaker) moveLocked(to breakerState, now time.Time) {
	b.state, b.since = to, now
	b.epoch.Add(1)
	b.notify(to)
}

// BreakerStatus is a snapshot of one breaker.
type BreakerStatus struct {
	// Backend is the endpoint's ip:port, after its name and a slash if it has
	// one, and after https:// if it is spoken to so.
	Backend string
	// State is closed, open or half_open.
	State string
	// Since is the time of the last transition, or of the endpoint's discovery.
	Since time.Time
	// NextProbe is the time of the next trial; zero unless open.
	NextProbe time.Time
}

func (b *breaker) status() BreakerStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := BreakerStatus{State: b.state.String(), Since: b.since}
	if b.state == open {
		s.NextProbe = b.nextProbe
	}
	return s
}
