// Package limiter holds the buckets of a cluster of gateways: a limit is one
// limit, whichever node a request lands on.
//
// # Design
//
// A bucket is a TAT (see package gcra) under a key in Redis, in the layout of
// redis_rate: "rate:" and the key, holding seconds since 2017 by the clock of
// Redis. All buckets of a request are decided by one script, all or nothing:
// if one denies, none is charged. Checks that wait at the same moment travel in
// one write, so a busy node pays for a fraction of a round trip per request.
//
// Beside Redis every node keeps a mirror: its share, 1/N of rate and burst, of
// the buckets it has seen, charged with everything Redis admitted here. N is
// the number of live members. When Redis is silent the mirror decides, and as
// it is warm nobody gets a second burst for the switch.
//
// # Trade-off
//
// A check waits for Redis, but never longer than the budget (10 ms), and never
// sends a charge twice. A charge whose answer was late stays charged, while the
// request was decided by the mirror: the error is on the safe side. Without
// Redis a limit is split evenly, so an uneven load is admitted less than it is
// due; and a bucket forgotten because more than 64k were in use starts full.
//
// # Failure
//
// Five failed checks in a row, or a tenth of at least twenty in a second late,
// open a breaker: then no request touches Redis, and one background probe asks
// until three answers in a row were good. Nodes cut off from Redis and from
// each other cannot know of each other; what each of them admits is bounded by
// the largest N it saw in the last minute and by fallback.min_members.
//
// The package knows no HTTP: a caller names buckets and gets a Decision.
package limiter
