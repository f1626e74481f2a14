package breaker

import (
	"cmp"
	"time"
)

const (
	// rowTTL is how long a row lives unless its owner renews it, which it does
	// every third of that.
	rowTTL = 30 * time.Second
	// maxRows bounds the rows of all backends and observers together, and apart
	// from that the backends that have an override.
	maxRows      = 4096
	maxOverrides = 1024
	maxName      = 512 // bytes of a backend's or observer's name
	maxAttempt   = 1 << 32
)

// claim is what a row says of its backend.
type claim uint8

const (
	nothing claim = iota // takes back what was said before
	well                 // a request succeeded just now
	failing              // two failures in a row
	isOpen
	probing // open, and its owner has a request under way to find out
	claimCount
)

func (c claim) accuses() bool { return c >= failing }

// row is what one node says of one backend. The fields below the line are this
// node's own judgement, which stays with the observer when it says something new.
type row struct {
	version uint64
	claim   claim
	// firsthand says that its owner saw at least two failures in a row itself.
	// What it concluded from others' words is not one more voice.
	firsthand bool
	// solo says that others reported success: its owner then tries by itself, and
	// its times are no example to others.
	solo    bool
	episode uint64 // numbers the owner's accusations; renewing one keeps its number
	attempt uint64 // counts the probes since the backend was opened
	since   time.Time
	probeAt time.Time
	expires time.Time

	// ---
	judged  uint64    // the last accusation that was looked at
	refuted bool      // a success here came after the accusation
	armed   time.Time // when the observer last raised suspicion here
}

// supersedes makes merging a join: the higher version, and where a dishonest
// owner used one twice the higher content, so that all nodes agree even then.
func (r *row) supersedes(old *row) bool {
	return r.compare(old) > 0
}

func (r *row) compare(old *row) int {
	return cmp.Or(
		cmp.Compare(r.version, old.version),
		cmp.Compare(r.claim, old.claim),
		cmp.Compare(r.episode, old.episode),
		cmp.Compare(r.attempt, old.attempt),
		cmp.Compare(r.flags(), old.flags()),
	)
}

const (
	flagFirsthand = 1 << iota
	flagSolo
)

func (r *row) flags() byte {
	var out byte
	if r.firsthand {
		out |= flagFirsthand
	}
	if r.solo {
		out |= flagSolo
	}
	return out
}

// dead rows say nothing but are kept for one more lifetime, lest an older
// version that is still on its way take their place.
func (r *row) dead(now time.Time) bool { return !now.Before(r.expires) }

// subject is one backend: what everybody says of it, and this node's breaker if
// it uses the backend.
type subject struct {
	backend  string
	rows     map[string]*row // by observer, this node's own included
	override *override
	breaker  *Breaker
}

// openBy reports whether the observer holds the backend open.
func (s *subject) openBy(observer string, now time.Time) bool {
	r := s.rows[observer]
	return r != nil && !r.dead(now) && (r.claim == isOpen || r.claim == probing)
}
