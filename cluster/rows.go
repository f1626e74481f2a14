package cluster

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	maxOwners  = 256
	maxOwner   = 255       // bytes of a name
	maxPayload = 64 * 1024 // bytes
)

// ErrTooManyOwners is returned by Rows.Merge for rows of new owners beyond the
// 256 that are kept; the rows of known owners in the same message were merged.
var ErrTooManyOwners = errors.New("too many owners of rows")

var _ State = (*Rows)(nil)

// Row is what one member says about itself.
type Row struct {
	Owner     string
	Version   uint64
	Payload   []byte        // shared: must not be modified
	Remaining time.Duration // until it expires unless its owner renews it
}

// Rows is a State of one row for each member. A member writes only its own row;
// the highest version wins, so no two members ever contend. A row expires
// unless its owner sets it again, which it should do every third of the TTL.
// What travels is the remaining lifetime, not a time of day: clocks may
// disagree. Two copies of one version settle on the shorter lifetime, so copies
// passed around do not keep a silent owner's row alive.
//
// It keeps at most 256 owners and 64 KiB for each. Its methods may be called
// from many goroutines at once.
type Rows struct {
	self string
	ttl  time.Duration
	now  func() time.Time

	mu      sync.Mutex // guards the fields below
	version uint64     // of the own row
	byOwner map[string]stored
}

// stored outlives its expiry by one TTL, unseen, lest an older version that is
// still on its way take its place.
type stored struct {
	version uint64
	payload []byte // never written after it is stored
	expires time.Time
}

// NewRows returns rows without content, of which self writes its own. The ttl
// must be positive and the same on all members: it also bounds what others say.
func NewRows(self string, ttl time.Duration, now func() time.Time) *Rows {
	return &Rows{self: self, ttl: ttl, now: now, byOwner: make(map[string]stored)}
}

// Set replaces the own row, counts up its version, renews its lifetime, and
// returns the message to broadcast. A payload above 64 KiB is refused: nothing
// changes and the message is nil. The payload is copied.
func (r *Rows) Set(payload []byte) (message []byte) {
	if len(payload) > maxPayload {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version++
	own := stored{version: r.version, payload: bytes.Clone(payload), expires: r.now().Add(r.ttl)}
	r.byOwner[r.self] = own
	return encodeRows([]Row{{Owner: r.self, Version: own.version, Payload: own.payload, Remaining: r.ttl}})
}

// All returns the rows that have not expired, by owner, the own row included.
func (r *Rows) All() []Row {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	out := make([]Row, 0, len(r.byOwner))
	for owner, s := range r.byOwner {
		if left := s.expires.Sub(now); left > 0 {
			out = append(out, Row{Owner: owner, Version: s.version, Payload: s.payload, Remaining: left})
		}
	}
	slices.SortFunc(out, func(a, b Row) int { return cmp.Compare(a.Owner, b.Owner) })
	return out
}

// Retain forgets the rows of owners that live reports false for; the own row
// stays. Another member may still pass such a row on until it expires.
func (r *Rows) Retain(live func(owner string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for owner := range r.byOwner {
		if owner != r.self && !live(owner) {
			delete(r.byOwner, owner)
		}
	}
}

// MarshalBinary returns all rows that have not expired.
func (r *Rows) MarshalBinary() ([]byte, error) { return encodeRows(r.All()), nil }

// Merge takes in rows of others; one that claims to be the own is ignored. A
// malformed message changes nothing. Rows of owners beyond the limit are left
// out and reported as ErrTooManyOwners.
func (r *Rows) Merge(message []byte) error {
	rows, err := decodeRows(message)
	if err != nil {
		return fmt.Errorf("cannot decode rows: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	refused := 0
	for _, row := range rows {
		if row.Owner != r.self && row.Remaining > 0 && !r.mergeLocked(row, now) {
			refused++
		}
	}
	if refused > 0 {
		return fmt.Errorf("cannot keep %d rows, limit is %d: %w", refused, maxOwners, ErrTooManyOwners)
	}
	return nil
}

// mergeLocked reports whether there was room for the row.
func (r *Rows) mergeLocked(row Row, now time.Time) bool {
	next := stored{version: row.Version, payload: row.Payload, expires: now.Add(min(row.Remaining, r.ttl))}
	old, known := r.byOwner[row.Owner]
	if !known && len(r.byOwner) >= maxOwners-r.reservedLocked() {
		r.sweepLocked(now)
		if len(r.byOwner) >= maxOwners-r.reservedLocked() {
			return false
		}
	}
	if known {
		next = newer(old, next)
	}
	next.payload = bytes.Clone(next.payload)
	r.byOwner[row.Owner] = next
	return true
}

// reservedLocked keeps a place for the own row until it is there.
func (r *Rows) reservedLocked() int {
	if _, present := r.byOwner[r.self]; present {
		return 0
	}
	return 1
}

// sweepLocked drops what expired a whole lifetime ago.
func (r *Rows) sweepLocked(now time.Time) {
	for owner, s := range r.byOwner {
		if now.Sub(s.expires) >= r.ttl {
			delete(r.byOwner, owner)
		}
	}
}

// newer is the least upper bound of two rows of one owner, which makes Merge
// idempotent, commutative and associative. Two payloads of one version cannot
// come from an honest owner; ordering them keeps the members agreed even then.
func newer(a, b stored) stored {
	order := cmp.Or(cmp.Compare(a.version, b.version), bytes.Compare(a.payload, b.payload))
	switch {
	case order < 0:
		return b
	case order == 0 && b.expires.Before(a.expires):
		a.expires = b.expires
	}
	return a
}

// clampDuration keeps a hostile lifetime from wrapping around.
func clampDuration(ns uint64) time.Duration {
	return time.Duration(min(ns, math.MaxInt64))
}
