// Package limiter holds the buckets of a cluster of gateways: a limit is one
// limit, whichever node a request lands on.
//
// # Buckets
//
// A bucket is a TAT (see package gcra) under a key in Redis, in the layout of
// redis_rate: "rate:" and the key, holding seconds since 2017 by the clock of
// Redis. All buckets of a request are decided by one script, all or nothing: if
// one denies, none is charged. Checks that wait at the same moment travel in one
// write. On a Redis Cluster, where the buckets of a request lie on several
// servers, they are one script each in one pipeline, and what was charged is put
// back if another bucket denies.
//
// # What needs no round trip
//
// A denial is believed until the missing tokens have arrived, a second at most.
// A busy bucket draws tokens ahead, what is asked for in 50 ms, and pays from
// stock; they were charged before they are used, so the limit holds. The next
// grant is fetched when an eighth is left, so nobody waits for it. After a grant
// that emptied the bucket nobody asks for a while. A busy bucket thus costs
// some twenty scripts a second and node, whatever the demand.
//
// # Without Redis
//
// Every node keeps its share, 1/N of rate and burst, of the buckets it has seen,
// charged with everything it admits, whoever decided. When Redis is silent the
// share decides, and as it is warm nobody gets a second burst. What it admits is
// owed: it is charged to Redis before Redis decides on the bucket again. While
// some nodes are without Redis, they say so, and the others leave them their
// share of rate and burst.
//
// # Trade-offs
//
// A check waits for Redis, but never longer than the budget (10 ms), and never
// sends a charge twice. A charge whose answer was late stays charged, while the
// request was decided by the share: the error is on the safe side. Without Redis
// an uneven load is admitted less than it is due. A bucket forgotten because more
// than 64k were in use starts full here; Redis still knows it.
//
// # Failure
//
// Five failed checks in a row, or a tenth of at least twenty in a second late,
// open a breaker: then no request touches Redis, and one background probe asks
// until three answers in a row were good. Nodes cut off from Redis and from
// each other cannot know of each other; what each of them admits is bounded by
// the largest N it saw in the last minute and by fallback.min_members.
//
// # Where to read
//
// check.go is the way of a check. decide.go looks at what the node knows,
// remote.go asks Redis, answer.go learns from the answer; share.go, denial.go and
// lease.go are what a node knows of a bucket; settle.go pays debts.
//
// The package knows no HTTP: a caller names buckets and gets a Decision.
package limiter
