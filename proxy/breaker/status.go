package breaker

import (
	"maps"
	"slices"
	"time"
)

// State is what a breaker does with the next request.
type State uint8

// The states of a breaker.
const (
	Closed   State = iota // lets everything through
	Suspect               // does so too, but the next failure opens
	HalfOpen              // has a trial under way
	Open                  // lets nothing through
)

func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case Suspect:
		return "suspect"
	case HalfOpen:
		return "half_open"
	}
	return "open"
}

// Cause is why a breaker changed.
type Cause string

// The causes of a change.
const (
	CauseFailures      Cause = "failures"          // the threshold, in a row
	CauseRatio         Cause = "failure_ratio"     // the share of a window
	CauseHealth        Cause = "health_check"      // an active check said so
	CauseAccusation    Cause = "accusation"        // another node opened
	CauseSuspicion     Cause = "suspicion"         // a failure while suspect
	CauseMajority      Cause = "majority"          // of the live members
	CauseProbe         Cause = "probe"             // a trial began, succeeded or failed
	CauseSuccess       Cause = "success"           // while suspect
	CauseElsewhere     Cause = "success_elsewhere" // of another node
	CauseWithdrawn     Cause = "withdrawn"         // nobody accuses any more
	CauseOverride      Cause = "override"          // an operator's
	CauseOverrideEnded Cause = "override_ended"
)

// Change is one transition of a breaker of this node.
type Change struct {
	From, To State
	Cause    Cause
	// By is the other node that tipped it, or the one that took the override; ""
	// for this node's own evidence.
	By string
}

// Status is a snapshot of one backend.
type Status struct {
	Backend string
	// State is this node's: closed, suspect, half_open or open. For a backend it
	// does not use it is what others say.
	State string
	// By lists the nodes that hold it open, this one included, sorted.
	By []string
	// Since is the time of this node's last transition, or of the discovery.
	Since time.Time
	// NextProbe is when the next trial is due; zero unless open.
	NextProbe time.Time
	// Override is the mode in force, Auto without one; OverrideBy and
	// OverrideUntil belong to it.
	Override      Mode
	OverrideBy    string
	OverrideUntil time.Time
}

// Status returns every backend that this node uses or others speak of, sorted.
func (g *Group) Status() []Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.options.Now()
	var out []Status
	for _, backend := range slices.Sorted(maps.Keys(g.subjects)) {
		if s := g.statusLocked(g.subjects[backend], now); s.visible(g.subjects[backend]) {
			out = append(out, s)
		}
	}
	return out
}

// visible leaves out what others said and took back.
func (s Status) visible(of *subject) bool {
	return of.breaker != nil || len(s.By) > 0 || s.Override != Auto
}

func (g *Group) statusLocked(s *subject, now time.Time) Status {
	out := Status{Backend: s.backend, State: Closed.String()}
	for _, m := range g.options.Members() {
		if s.openBy(m, now) {
			out.By = append(out.By, m)
			out.State, out.Since, out.NextProbe = Open.String(), s.rows[m].since, s.rows[m].probeAt
		}
	}
	slices.Sort(out.By)
	if b := s.breaker; b != nil {
		out.State, out.Since, out.NextProbe = b.state.String(), b.since, time.Time{}
		if b.state == Open {
			out.NextProbe = b.dueLocked(now).at
		}
	}
	if o := s.override; o.forces(now) {
		out.Override, out.OverrideBy, out.OverrideUntil = o.mode, o.issuer, o.expires
		if o.mode == ForceOpen {
			out.NextProbe = o.expires
		}
	}
	return out
}

// Retry returns when the breaker will let a request through again: the time of
// the next trial, or zero if it is not open.
func (b *Breaker) Retry() time.Time {
	g := b.group
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.statusLocked(b.subject, g.options.Now()).NextProbe
}
