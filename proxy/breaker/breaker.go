package breaker

import (
	"sync/atomic"
	"time"
)

// Result is what one request says about its backend.
type Result uint8

// The results of a request.
const (
	Neutral Result = iota // nothing, such as a client that went away
	Success
	Failure
)

// announceAt is how many failures in a row are told to the others; failingPace
// bounds how often, for a backend that fails now and then.
const (
	announceAt  = 2
	failingPace = 100 * time.Millisecond
)

// Ticket ties a result to the moment its request was let through, so that a slow
// request from before a transition cannot undo it.
type Ticket struct {
	epoch uint64
	trial bool
}

// Breaker guards one backend. While it is closed and nothing is wrong a request
// costs it two atomic loads before and three after, and no lock.
type Breaker struct {
	group    *Group
	subject  *subject
	upstream string
	notify   func(Change)
	settings atomic.Pointer[Config]

	// gate is 0 while every request may pass unlooked at, and else one more than
	// the time, in nanoseconds since the group's start, before which none may;
	// from then on the lock decides.
	gate atomic.Int64
	// epoch counts transitions and accusations heard.
	epoch atomic.Uint64
	// worked tells of a success since the last failure or sweep.
	worked  atomic.Bool
	results window

	// The group's lock guards the rest.
	users              int  // who added it and did not forget it
	gone               bool // forgotten
	forced, forcedOpen bool // by an override
	obeyed             *override
	state              State
	since              time.Time
	floor              uint64 // results of earlier epochs do not count
	heard              uint64 // results of earlier epochs refute nobody and decide no suspicion
	failures           int    // in a row
	said               claim  // what the others last heard from here
	saidFailing        time.Time
	own                bool // opened by own evidence
	firsthand          bool // two failures in a row were its own
	byHealth           bool // of an active check
	solo               bool // others report success: tries by itself
	openedAt           time.Time
	openFor            time.Duration
	probeAt            time.Time
	attempt            uint64
	trial              bool
	trialUntil         time.Time
	episode            uint64
	ramp               ramp
}

// Configure replaces the settings. They hold from the next result on.
func (b *Breaker) Configure(c Config) { b.settings.Store(&c) }

// Admit asks for a request to be let through. Every admitted request must be
// followed by Done with the same ticket, or a trial would last until the next
// one is due.
func (b *Breaker) Admit() (Ticket, bool) {
	t := Ticket{epoch: b.epoch.Load()}
	gate := b.gate.Load()
	if gate == 0 {
		return t, true
	}
	now := b.group.options.Now()
	if int64(now.Sub(b.group.start))+1 < gate {
		return Ticket{}, false
	}
	b.group.mu.Lock()
	defer b.group.mu.Unlock()
	return b.admitLocked(now)
}

func (b *Breaker) admitLocked(now time.Time) (Ticket, bool) {
	b.obeyLocked(now) // an override may have ended
	switch {
	case b.forced:
		return Ticket{epoch: b.epoch.Load()}, !b.forcedOpen
	case b.state == Open:
		if at := b.turnLocked(now); now.Before(at) {
			b.gateLocked(now)
			return Ticket{}, false
		}
		b.beginTrialLocked(now)
	case b.state == HalfOpen:
		if b.trial && now.Before(b.trialUntil) {
			return Ticket{}, false
		}
		b.beginTrialLocked(now)
	case !b.ramp.admit(now):
		return Ticket{}, false
	default:
		b.gateLocked(now) // the ramp may be over
	}
	return Ticket{epoch: b.epoch.Load(), trial: b.state == HalfOpen}, true
}

// Done reports what became of an admitted request.
func (b *Breaker) Done(t Ticket, r Result) {
	if r == Success {
		if b.settings.Load().FailureRatio > 0 {
			b.count(false)
		}
		if !b.worked.Load() {
			b.worked.Store(true)
		}
		if b.gate.Load() == 0 {
			return
		}
	}
	if r == Neutral && !t.trial {
		return
	}
	b.group.mu.Lock()
	defer b.group.mu.Unlock()
	now := b.group.options.Now()
	if b.gone || b.forced || t.epoch < b.floor {
		return
	}
	switch {
	case b.state == HalfOpen:
		b.endTrialLocked(r, now)
	case r == Success:
		b.succeedLocked(t, now)
	case r == Failure:
		b.failLocked(t, now)
	}
	b.gateLocked(now)
}

// count adds a result to the window of the failure ratio. It takes the window's
// lock only.
func (b *Breaker) count(failed bool) (total, failures int) {
	at := b.group.options.Now().Sub(b.group.start)
	return b.results.add(at, b.settings.Load().windowLength(), failed)
}

// Health takes the verdict of an active check, as often as it is made. A bad one
// opens as own evidence does, and travels the same way; a good one closes what a
// bad one opened. It must not be called for single checks that may fail by
// chance: the checker has its own thresholds.
func (b *Breaker) Health(good bool) {
	g := b.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if b.gone || b.forced {
		return
	}
	now := g.options.Now()
	switch {
	case !good && b.state < HalfOpen:
		b.openLocked(CauseHealth, "", now)
		b.byHealth = true
	case !good && b.state == Open && !b.own:
		b.own, b.byHealth = true, true
	case good && b.state == Open && b.byHealth:
		b.closeLocked(CauseHealth, "", now)
		b.publishLocked(well, now)
	}
	b.gateLocked(now)
}

// gateLocked sets what requests meet before the lock.
func (b *Breaker) gateLocked(now time.Time) {
	at := now
	switch {
	case b.forcedOpen:
		at = b.subject.override.expires
	case b.forced:
		b.gate.Store(0)
		return
	case b.state == Open:
		at = b.turnLocked(now)
	case b.state == HalfOpen && b.trial:
		at = b.trialUntil
	case b.quietLocked(now):
		b.gate.Store(0)
		return
	}
	b.gate.Store(max(int64(at.Sub(b.group.start)), 0) + 1)
}

// quietLocked reports whether nothing can follow from one more success.
func (b *Breaker) quietLocked(now time.Time) bool {
	return b.state == Closed && b.failures == 0 && b.ramp.over(now) && !b.accusedLocked()
}
