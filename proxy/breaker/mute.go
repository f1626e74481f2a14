package breaker

import "time"

// silentLocked reports whether this node keeps its accusations to itself, after
// looking whether it has to begin.
func (g *Group) silentLocked(now time.Time) bool {
	if !g.muted.IsZero() {
		return now.Before(g.muted)
	}
	return g.muteIfSickLocked(now)
}

// muteIfSickLocked begins a silence if everything fails here and others just
// reported success: what this node said is taken back.
func (g *Group) muteIfSickLocked(now time.Time) bool {
	if !g.sickLocked(now) {
		return false
	}
	g.muted = now.Add(muteFor)
	for _, s := range g.subjects {
		if s.breaker != nil && s.breaker.said.accuses() {
			s.breaker.publishLocked(nothing, now)
		}
	}
	return true
}

// sickLocked reports whether at least two upstreams fail, nothing works, and
// another node had a success where this one fails.
func (g *Group) sickLocked(now time.Time) bool {
	if g.wellAt.IsZero() || now.Sub(g.wellAt) > muteFor {
		return false
	}
	first, second := "", false
	for _, s := range g.subjects {
		b := s.breaker
		if b == nil || b.forced {
			continue
		}
		if b.worked.Load() {
			return false
		}
		if b.failsHereLocked() {
			second = second || first != "" && first != b.upstream
			first = b.upstream
		}
	}
	return second
}

func (b *Breaker) failsHereLocked() bool {
	return b.failures >= announceAt || b.state >= HalfOpen && b.own
}

// contradictedLocked notes that another node had a success with the backend.
func (g *Group) contradictedLocked(b *Breaker, now time.Time) {
	if b.failsHereLocked() {
		g.wellAt = now
		if g.muted.IsZero() {
			g.muteIfSickLocked(now)
		}
	}
}

// unmuteLocked says again what still holds. The episodes are the old ones, so
// nobody who looked into an accusation does so again.
func (g *Group) unmuteLocked(now time.Time) {
	g.muted = time.Time{}
	g.wellAt = time.Time{}
	for _, s := range g.subjects {
		if b := s.breaker; b != nil && !b.forced {
			switch {
			case b.state == Open:
				b.publishLocked(isOpen, now)
			case b.state == HalfOpen:
				b.publishLocked(probing, now)
			case b.failures >= announceAt:
				b.publishLocked(failing, now)
			}
		}
	}
}

// Muted reports whether this node keeps silent because everything fails here
// while others report success.
func (g *Group) Muted() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.muted.IsZero() && g.options.Now().Before(g.muted)
}

// sweepLocked makes successes of a while ago stop counting as such.
func (g *Group) sweepLocked(now time.Time) {
	if now.Sub(g.sweptAt) < sweepEvery {
		return
	}
	g.sweptAt = now
	for _, s := range g.subjects {
		if s.breaker != nil {
			s.breaker.worked.Store(false)
		}
	}
}
