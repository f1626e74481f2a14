package breaker

import (
	"time"
)

const (
	// stepOver is what the next in rank waits for the one before.
	stepOver = 500 * time.Millisecond
	// maxDoubling bounds how much longer a node that stands alone waits.
	maxDoubling = 8
	// verifySooner divides the wait for the first probe of what no node's own
	// threshold opened. Where a tenth of all requests fails by chance, two of
	// three nodes often fail twice at once; they should not pay for it in full.
	verifySooner = 10
)

// openLocked opens, announces it, and adopts the time of the next probe from
// those who opened before.
func (b *Breaker) openLocked(why Cause, by string, now time.Time) {
	b.openFor = b.settings.Load().openFor()
	b.openedAt = now
	own := why != CauseMajority && why != CauseSuspicion
	due := b.dueLocked(now)
	if due.at.After(now) {
		b.attempt, b.probeAt = due.attempt, due.at
	} else {
		b.attempt, b.probeAt = next(due.attempt), now.Add(b.openFor)
		if !own {
			b.probeAt = now.Add(b.openFor / verifySooner)
		}
	}
	firsthand := b.failures >= announceAt
	b.forgetEvidenceLocked()
	b.own = own
	b.firsthand = firsthand || b.own
	b.moveLocked(Open, why, by, now)
	b.episode = b.group.nextLocked()
	b.publishLocked(isOpen, now)
}

func (b *Breaker) closeLocked(why Cause, by string, now time.Time) {
	b.ramp = newRamp(now, now.Sub(b.openedAt), b.settings.Load().openFor())
	b.forgetEvidenceLocked()
	b.refuteLocked() // what was said up to now belongs to the outage
	b.moveLocked(Closed, why, by, now)
}

func (b *Breaker) forgetEvidenceLocked() {
	b.own, b.byHealth, b.solo, b.trial = false, false, false, false
	b.failures = 0
	b.results.clear()
}

// moveLocked changes the state. Requests let through before have no say in the
// new one, except that a suspicion leaves their failures counted.
func (b *Breaker) moveLocked(to State, why Cause, by string, now time.Time) {
	from := b.state
	b.state, b.since = to, now
	epoch := b.epoch.Add(1)
	b.heard = epoch
	if to >= HalfOpen || from >= HalfOpen {
		b.floor = epoch
	}
	b.notify(Change{From: from, To: to, Cause: why, By: by})
}

// due is when an open backend is to be probed, and the how many'th time.
type due struct {
	at      time.Time
	attempt uint64
}

// next counts attempts up to what others accept.
func next(attempt uint64) uint64 { return min(attempt+1, maxAttempt) }

// dueLocked derives the cluster's schedule from what all who hold the backend
// open say: the latest attempt, the earliest time of it. So who begins a probe
// needs only say so for all others to wait, and if it dies its word goes with it.
func (b *Breaker) dueLocked(now time.Time) due {
	var out due
	if b.state >= HalfOpen && !b.forced {
		out = due{b.probeAt, b.attempt}
		if b.solo {
			return out
		}
	}
	for _, m := range b.group.options.Members() {
		r := b.subject.rows[m]
		if r == nil || m == b.group.options.Self || r.solo || r.refuted || !b.subject.openBy(m, now) {
			continue
		}
		if out.at.IsZero() || r.attempt > out.attempt || r.attempt == out.attempt && r.probeAt.Before(out.at) {
			out = due{r.probeAt, r.attempt}
		}
	}
	return out
}

// turnLocked is when this node may try if nobody did before.
func (b *Breaker) turnLocked(now time.Time) time.Time {
	if b.solo {
		return b.probeAt
	}
	due := b.dueLocked(now)
	before := rank(b.group.options.Self, b.subject.backend, due.attempt, b.group.options.Members())
	return due.at.Add(time.Duration(before) * stepOver)
}

// beginTrialLocked says that this node tries, which is the next attempt. The
// others give it as long as the breaker is open each time.
func (b *Breaker) beginTrialLocked(now time.Time) {
	b.attempt = next(b.dueLocked(now).attempt)
	b.probeAt = now.Add(b.openFor)
	b.trial, b.trialUntil = true, b.probeAt
	if b.state != HalfOpen {
		b.moveLocked(HalfOpen, CauseProbe, "", now)
	} else {
		b.floor = b.epoch.Add(1)
	}
	b.publishLocked(probing, now)
	b.gateLocked(now)
}

func (b *Breaker) endTrialLocked(r Result, now time.Time) {
	b.trial = false
	switch r {
	case Success:
		b.closeLocked(CauseProbe, "", now)
		b.publishLocked(well, now)
	case Failure:
		b.worked.Store(false)
		if b.solo {
			b.own = true
			b.openFor = min(2*b.openFor, maxDoubling*b.settings.Load().openFor())
		}
		b.probeAt = now.Add(b.openFor)
		b.moveLocked(Open, CauseProbe, "", now)
		b.publishLocked(isOpen, now)
	}
}

// publishLocked lets this node's row say what the breaker now is, and sends it.
// A node that keeps silent takes back instead of accusing.
func (b *Breaker) publishLocked(c claim, now time.Time) {
	g, s := b.group, b.subject
	if c.accuses() && g.silentLocked(now) {
		c = nothing
	}
	if b.gone || c == nothing && !b.said.accuses() {
		b.said = c
		return
	}
	b.said = c
	old := s.rows[g.options.Self]
	if old == nil {
		g.rows++ // one for every backend of its own, beyond the limit if need be
	}
	r := &row{
		version: g.nextLocked(), claim: c, firsthand: b.firsthand || c == failing, solo: b.solo, episode: b.episode, attempt: b.attempt,
		since: b.since, probeAt: b.probeAt, expires: now.Add(rowTTL),
	}
	s.rows[g.options.Self] = r
	g.sendLocked(appendRow([]byte{wireVersion}, s.backend, g.options.Self, r, now))
}
