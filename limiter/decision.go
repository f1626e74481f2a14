package limiter

import "time"

// Source is what a decision rests on.
type Source uint8

// The sources of a decision.
const (
	SourceNone   Source = iota // there was no bucket to check
	SourceRedis                // the cluster's buckets
	SourceLease                // tokens drawn from them ahead of demand
	SourceDeny                 // a denial of Redis that still holds
	SourceLocal                // this node's share of the buckets
	SourceOpen                 // on_redis_down: open
	SourceClosed               // on_redis_down: closed
)

const sourceCount = int(SourceClosed) + 1

// String is the name used in logs and metrics: none, redis, lease, deny_cache,
// local, open or closed.
func (s Source) String() string {
	switch s {
	case SourceRedis:
		return "redis"
	case SourceLease:
		return "lease"
	case SourceDeny:
		return "deny_cache"
	case SourceLocal:
		return "local"
	case SourceOpen:
		return "open"
	case SourceClosed:
		return "closed"
	default:
		return "none"
	}
}

// Fallback reports whether Redis could not be asked, or was not to be: there is
// none, or it is lost.
func (s Source) Fallback() bool { return s >= SourceLocal }

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
	// Shadow is the first shadow limit that would have denied the request, else
	// nil.
	Shadow *Limit
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
