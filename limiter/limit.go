package limiter

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-api-gateway-pro/gateway/limiter/gcra"
)

// The scopes of a limit.
const (
	ScopeGlobal = "global" // one bucket for everybody
	ScopeUser   = "user"   // one per authenticated user
	ScopeIP     = "ip"     // one per client address
	ScopeHeader = "header" // one per value of a header
	ScopeClaim  = "claim"  // one per value of a claim of the token
)

// What a limit does while Redis cannot be asked.
const (
	DownShare  = "share"  // the node admits its share of rate and burst
	DownClosed = "closed" // nothing passes
	DownOpen   = "open"   // everything passes
)

const (
	maxRate    = 100_000 // per second and key; above, the stored time is too coarse
	maxIDLen   = 256
	maxHorizon = 366 * 24 * time.Hour
)

// Limit is a rule: how many tokens a key of its scope may take, in the whole
// cluster. Limits with the same ID share their buckets, over reloads too; a
// changed rate or burst keeps the fill level. A Limit must not be changed once
// it was given to Check.
type Limit struct {
	ID     string        // unique in the cluster, 1 to 256 bytes
	Scope  string        // global, user, ip, header or claim
	Rate   int           // tokens per Period, at least 1
	Burst  int           // tokens a full bucket holds, at least 1
	Period time.Duration // at least 1 ms; usually a second

	// Strict asks Redis for every token, where else a busy bucket draws some
	// ahead: the last promille of accuracy for a round trip per request.
	Strict bool
	// Shadow only tells what it would deny: see Decision.Shadow.
	Shadow bool
	// OnRedisDown is DownShare, DownClosed or DownOpen; empty means DownShare.
	OnRedisDown string
}

// Validate names every field that is out of bounds, by the name it has in the
// configuration.
func (l Limit) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if l.ID == "" || len(l.ID) > maxIDLen {
		fail("id: must be 1 to %d bytes, got %d", maxIDLen, len(l.ID))
	}
	if !slices.Contains([]string{ScopeGlobal, ScopeUser, ScopeIP, ScopeHeader, ScopeClaim}, l.Scope) {
		fail("key_by: must be one of global, user, ip, header:NAME, claim:NAME, got %q", l.Scope)
	}
	if !slices.Contains([]string{"", DownShare, DownClosed, DownOpen}, l.OnRedisDown) {
		fail("on_redis_down: must be one of share, closed, open, got %q", l.OnRedisDown)
	}
	if l.Rate < 1 {
		fail("rps: must be at least 1, got %d", l.Rate)
	}
	if l.Burst < 1 {
		fail("burst: must be at least 1, got %d", l.Burst)
	}
	if l.Period < time.Millisecond {
		fail("per: must be at least 1ms, got %s", l.Period)
	}
	if l.Rate < 1 || l.Burst < 1 || l.Period < time.Millisecond {
		return errors.Join(errs...) // the rest would divide by them
	}
	if perSecond := float64(l.Rate) / l.Period.Seconds(); perSecond > maxRate {
		fail("rps: must be at most %d per second, got %.0f", maxRate, perSecond)
	}
	if fill := float64(l.Burst) / float64(l.Rate) * l.Period.Seconds(); fill > maxHorizon.Seconds() {
		fail("burst: must fill within 366 days, got %d, which takes %.0f days", l.Burst, fill/86400)
	}
	return errors.Join(errs...)
}

// ValidateCost tells whether a request of that cost can ever be admitted.
func (l Limit) ValidateCost(cost int) error {
	if cost < 1 || cost > l.Burst {
		return fmt.Errorf("cost: must be from 1 to the burst %d, got %d", l.Burst, cost)
	}
	return nil
}

func (l Limit) gcra() gcra.Limit {
	return gcra.Limit{Rate: l.Rate, Burst: l.Burst, Period: l.Period}
}

// Bucket is one thing a request is charged to.
type Bucket struct {
	// Limit must not be nil and must have passed Validate.
	Limit *Limit
	// Key tells buckets of one limit apart: a user, an address, or nothing for
	// a global limit. Any bytes of any length are safe.
	Key string
	// Cost is the number of tokens; less than 1 counts as 1.
	Cost int
}
