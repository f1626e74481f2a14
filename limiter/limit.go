package limiter

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-api-gateway-pro/gateway/limiter/gcra"
)

// The scopes of a limit.
const (
	ScopeGlobal = "global" // one bucket for everybody
	ScopeUser   = "user"   // one per authenticated user
	ScopeIP     = "ip"     // one per client address
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
	Scope  string        // global, user or ip
	Rate   int           // tokens per Period, at least 1
	Burst  int           // tokens a full bucket holds, at least 1
	Period time.Duration // at least 1 ms; usually a second
}

// Validate names every field that is out of bounds, by the name it has in the
// configuration.
func (l Limit) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if l.ID == "" || len(l.ID) > maxIDLen {
		fail("id: must be 1 to %d bytes, got %d", maxIDLen, len(l.ID))
	}
	if l.Scope != ScopeGlobal && l.Scope != ScopeUser && l.Scope != ScopeIP {
		fail("key_by: must be one of global, user, ip, got %q", l.Scope)
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

// Source is what a decision rests on.
type Source uint8

// The sources of a decision.
const (
	SourceNone  Source = iota // there was no bucket to check
	SourceRedis               // the cluster's buckets
	SourceLocal               // this node's share of them
)

// String is the name used in logs and metrics: none, redis or local.
func (s Source) String() string {
	switch s {
	case SourceRedis:
		return "redis"
	case SourceLocal:
		return "local"
	default:
		return "none"
	}
}

// Decision is the answer to one Check.
type Decision struct {
	// Allowed tells whether the request may pass. If so, all its buckets were
	// charged; if not, none was.
	Allowed bool
	// Limit is the denying limit that has to be waited for the longest, else the
	// limit other than global that is closest to being exhausted, else nil. The
	// fields below belong to it. After a local decision they are those of this
	// node's share.
	Limit *Limit
	// Source is what decided.
	Source Source
	// Remaining is the number of whole tokens left.
	Remaining int
	// RetryAfter is how long to wait for the same cost to fit, over all denying
	// limits; 0 when allowed.
	RetryAfter time.Duration
	// ResetAfter is how long the bucket takes to be full.
	ResetAfter time.Duration
	// Took is how long the check took.
	Took time.Duration
}
