package breaker

import (
	"slices"
	"time"
)

// rearmAfter keeps a node that flaps from making all others suspicious over and
// over: with one background error in a hundred, every suspicion opens a healthy
// backend with that chance.
const rearmAfter = 30 * time.Second

// succeedLocked is a success while closed or suspect.
func (b *Breaker) succeedLocked(t Ticket, now time.Time) {
	b.failures = 0
	decided := false
	if t.epoch >= b.heard {
		b.refuteLocked()
		if decided = b.state == Suspect; decided {
			b.moveLocked(Closed, CauseSuccess, "", now)
		}
	}
	if decided || b.said == failing {
		b.publishLocked(well, now)
	}
}

// failLocked is a failure while closed or suspect.
func (b *Breaker) failLocked(t Ticket, now time.Time) {
	b.failures++
	b.worked.Store(false)
	c := b.settings.Load()
	if b.failures >= c.Failures {
		b.openLocked(CauseFailures, "", now)
		return
	}
	if c.FailureRatio > 0 {
		if total, failed := b.count(true); failed >= c.Failures && float64(failed) >= c.FailureRatio*float64(total) {
			b.openLocked(CauseRatio, "", now)
			return
		}
	}
	if by := b.accuserLocked(now); b.state == Suspect && t.epoch >= b.heard && by != "" {
		b.openLocked(CauseSuspicion, by, now)
		return
	}
	if b.failures >= announceAt && now.Sub(b.saidFailing) >= failingPace && b.said != failing {
		b.saidFailing = now
		b.episode = b.group.nextLocked()
		b.publishLocked(failing, now)
	}
	b.joinMajorityLocked("", now)
}

// refuteLocked lets a success here outweigh what was said before it.
func (b *Breaker) refuteLocked() {
	for _, r := range b.subject.rows {
		r.refuted = r.refuted || r.claim.accuses()
	}
}

// accusedLocked reports whether a success would refute somebody.
func (b *Breaker) accusedLocked() bool {
	for observer, r := range b.subject.rows {
		if observer != b.group.options.Self && r.claim.accuses() && !r.refuted {
			return true
		}
	}
	return false
}

// accuserLocked returns a live node whose opening has not been refuted, "" if
// there is none.
func (b *Breaker) accuserLocked(now time.Time) string {
	by := ""
	members := b.group.options.Members()
	for observer, r := range b.subject.rows {
		if observer != b.group.options.Self && !r.refuted && b.subject.openBy(observer, now) &&
			slices.Contains(members, observer) && (by == "" || observer < by) {
			by = observer
		}
	}
	return by
}

// joinMajorityLocked opens if more than half of the live members, two at least,
// are failing or open by what they saw themselves. Were conclusions counted too,
// one error beside one node that is cut off would be a majority of three.
func (b *Breaker) joinMajorityLocked(by string, now time.Time) {
	members := b.group.options.Members()
	count := 0
	for _, m := range members {
		if m == b.group.options.Self {
			if b.failures >= announceAt {
				count++
			}
			continue
		}
		if r := b.subject.rows[m]; r != nil && !r.dead(now) && r.claim.accuses() && r.firsthand && !r.refuted {
			count++
		}
	}
	if count >= 2 && 2*count > len(members) {
		b.openLocked(CauseMajority, by, now)
	}
}

// listenLocked looks at what others said before this node could judge it: while
// it did not know the backend, or the observer was not yet a member.
func (b *Breaker) listenLocked(now time.Time) {
	for _, m := range b.group.options.Members() {
		if r := b.subject.rows[m]; r != nil && m != b.group.options.Self && !r.dead(now) && r.claim.accuses() {
			b.hearLocked(m, r, now)
		}
	}
}

// hearLocked takes in what another node says.
func (b *Breaker) hearLocked(observer string, r *row, now time.Time) {
	if b.forced || !slices.Contains(b.group.options.Members(), observer) {
		return
	}
	r.probeAt = earlier(r.probeAt, now.Add(b.settings.Load().openFor()))
	switch {
	case r.claim == well:
		b.hearSuccessLocked(observer, now)
	case r.claim.accuses() && r.episode != r.judged:
		r.judged, r.refuted = r.episode, false
		b.hearAccusationLocked(observer, r, now)
	case b.state == Suspect && b.accuserLocked(now) == "":
		b.moveLocked(Closed, CauseWithdrawn, observer, now)
	}
	b.gateLocked(now)
}

func (b *Breaker) hearAccusationLocked(observer string, r *row, now time.Time) {
	b.heard = b.epoch.Add(1)
	if r.claim != failing && b.solo { // not alone any more: the cluster's schedule counts
		b.solo, b.attempt, b.probeAt = false, 0, now.Add(b.settings.Load().openFor())
	}
	if b.state >= HalfOpen {
		return
	}
	if b.joinMajorityLocked(observer, now); b.state >= HalfOpen {
		return
	}
	if r.claim != failing && b.state == Closed && (r.armed.IsZero() || now.Sub(r.armed) >= rearmAfter) {
		r.armed = now
		b.moveLocked(Suspect, CauseAccusation, observer, now)
	}
}

// hearSuccessLocked closes what others opened. Own evidence is put to a trial.
func (b *Breaker) hearSuccessLocked(observer string, now time.Time) {
	b.group.contradictedLocked(b, now)
	switch {
	case b.state == HalfOpen && b.trial:
		b.solo = true // its own result comes after this one
	case b.state >= HalfOpen && !b.own:
		b.closeLocked(CauseElsewhere, observer, now)
		b.publishLocked(nothing, now)
	case b.state >= HalfOpen && !b.solo:
		b.solo, b.probeAt = true, now
		b.publishLocked(isOpen, now)
	case b.state == Suspect && b.accuserLocked(now) == "":
		b.moveLocked(Closed, CauseWithdrawn, observer, now)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
