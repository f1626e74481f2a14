package breaker

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// MarshalBinary returns everything that has not expired, the rows of others
// included: so what got lost arrives by way of any member.
func (g *Group) MarshalBinary() ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.options.Now()
	out := []byte{wireVersion}
	for _, backend := range slices.Sorted(maps.Keys(g.subjects)) {
		s := g.subjects[backend]
		for _, observer := range slices.Sorted(maps.Keys(s.rows)) {
			if r := s.rows[observer]; !r.dead(now) {
				out = appendRow(out, backend, observer, r, now)
			}
		}
		if o := s.override; o != nil && now.Before(o.expires) {
			out = appendOverride(out, backend, o, now)
		}
	}
	return out, nil
}

// Merge takes in a message or a full state of another member. It is idempotent,
// commutative and associative as far as rows and overrides go; what the breakers
// make of them depends on the order, as it does with requests. A malformed
// message changes nothing; rows beyond the limit are reported as [ErrTooMany].
func (g *Group) Merge(message []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.options.Now()
	entries, err := decode(message, now)
	if err != nil {
		return fmt.Errorf("cannot decode rows of breakers: %w", err)
	}
	refused := 0
	for _, e := range entries {
		if !g.mergeLocked(e, now) {
			refused++
		}
	}
	if refused > 0 {
		return fmt.Errorf("cannot keep %d rows: %w", refused, ErrTooMany)
	}
	return nil
}

// mergeLocked reports whether there was room for the entry.
func (g *Group) mergeLocked(e entry, now time.Time) bool {
	switch {
	case e.override != nil:
		return g.mergeOverrideLocked(e, now)
	case e.observer == g.options.Self || e.row.dead(now):
		return true // nobody else may speak for this node
	}
	s := g.subjectLocked(e.backend)
	old := s.rows[e.observer]
	switch {
	case old == nil && g.rows >= maxRows:
		g.dropLocked(s)
		return false
	case old == nil:
		g.rows++
	case e.row.supersedes(old):
		e.row.judged, e.row.refuted, e.row.armed = old.judged, old.refuted, old.armed
	default:
		if e.row.compare(old) == 0 && e.row.expires.Before(old.expires) {
			old.expires = e.row.expires // copies passed around must not keep a silent owner's row alive
		}
		return true
	}
	s.rows[e.observer] = e.row
	if s.breaker != nil {
		s.breaker.hearLocked(e.observer, e.row, now)
	}
	return true
}

func (g *Group) mergeOverrideLocked(e entry, now time.Time) bool {
	if !now.Before(e.override.expires) {
		return true
	}
	s := g.subjectLocked(e.backend)
	kept := g.takeOverrideLocked(s, e.override, now)
	g.dropLocked(s)
	return kept
}
