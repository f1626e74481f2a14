package breaker

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// MaxOverride is the longest an override may hold.
const MaxOverride = 24 * time.Hour

// ErrUnknownBackend is returned for a backend that neither this node uses nor
// another one spoke of.
var ErrUnknownBackend = errors.New("unknown backend")

// Mode is what an operator demands of a backend's breaker.
type Mode uint8

// The modes of an override.
const (
	Auto      Mode = iota // what the rules say: the end of an override
	ForceOpen             // nobody gets through
	ForceShut             // closed: everybody gets through
	modeCount
)

// ParseMode knows open, closed and auto.
func ParseMode(s string) (Mode, error) {
	switch s {
	case "auto":
		return Auto, nil
	case "open":
		return ForceOpen, nil
	case "closed":
		return ForceShut, nil
	}
	return 0, fmt.Errorf("must be one of open, closed, auto, got %q", s)
}

func (m Mode) String() string {
	switch m {
	case ForceOpen:
		return "open"
	case ForceShut:
		return "closed"
	}
	return "auto"
}

// override is an operator's word. It lives to its own end even if the node that
// took it goes.
type override struct {
	version uint64
	issuer  string
	mode    Mode
	since   time.Time
	expires time.Time
}

func (o *override) supersedes(old *override) bool {
	return old == nil || o.compare(old) > 0
}

func (o *override) compare(old *override) int {
	return cmp.Or(
		cmp.Compare(o.version, old.version),
		cmp.Compare(o.issuer, old.issuer),
		cmp.Compare(o.mode, old.mode),
	)
}

// forces reports whether the override demands anything now.
func (o *override) forces(now time.Time) bool {
	return o != nil && o.mode != Auto && now.Before(o.expires)
}

// Override lets mode hold for a backend on all nodes, for a time of more than
// zero and at most [MaxOverride]. Auto ends an override; its time is ignored.
func (g *Group) Override(backend string, mode Mode, hold time.Duration) error {
	if mode != Auto && (hold <= 0 || hold > MaxOverride) {
		return fmt.Errorf("cannot override breaker of %s: time must be more than 0 and at most %v, got %v", backend, MaxOverride, hold)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.subjects[backend]
	if s == nil {
		return fmt.Errorf("cannot override breaker of %s: %w", backend, ErrUnknownBackend)
	}
	now := g.options.Now()
	next := &override{version: 1, issuer: g.options.Self, mode: mode, since: now, expires: now.Add(hold)}
	if old := s.override; old != nil {
		next.version = old.version + 1
		if mode == Auto {
			next.expires = old.expires // as long as the one it ends could still be heard of
		}
	} else if mode == Auto {
		return nil
	}
	if !g.takeOverrideLocked(s, next, now) {
		return fmt.Errorf("cannot override breaker of %s: %d backends are overridden, which is the limit", backend, maxOverrides)
	}
	g.sendLocked(appendOverride([]byte{wireVersion}, backend, next, now))
	return nil
}

// takeOverrideLocked merges an override. It reports whether there was room.
func (g *Group) takeOverrideLocked(s *subject, o *override, now time.Time) bool {
	switch old := s.override; {
	case old == nil:
		if g.overrides >= maxOverrides {
			return false
		}
		g.overrides++
		s.override = o
	case o.supersedes(old):
		s.override = o
	case o.compare(old) == 0 && o.expires.Before(old.expires):
		old.expires = o.expires
	default:
		return true
	}
	if s.breaker != nil {
		s.breaker.obeyLocked(now)
	}
	return true
}

// obeyLocked lets an override that began, changed or ended take effect.
func (b *Breaker) obeyLocked(now time.Time) {
	o := b.subject.override
	forced := o.forces(now)
	if !forced && !b.forced || forced && b.obeyed == o {
		return
	}
	b.obeyed = o
	outage, to, cause := now.Sub(b.openedAt), Closed, CauseOverrideEnded
	returns := !forced && b.state == Open
	b.forced, b.forcedOpen = forced, forced && o.mode == ForceOpen
	if forced {
		cause = CauseOverride
	}
	if b.forcedOpen {
		to, b.openedAt = Open, now
	}
	b.forgetEvidenceLocked()
	b.ramp = ramp{}
	if returns {
		b.ramp = newRamp(now, outage, b.settings.Load().openFor())
	}
	b.moveLocked(to, cause, o.issuer, now)
	b.publishLocked(nothing, now)
	b.gateLocked(now)
}
