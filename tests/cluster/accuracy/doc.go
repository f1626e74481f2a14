// Package accuracy measures whether a limit is the limit.
//
// It starts real nodes (the built gateway, gossip on loopback), a real
// redis-server, an upstream and an open-loop load generator of its own, plays a
// script of faults while the load runs, and compares what arrived at the
// upstream with what one exact bucket would have let through. The gateway's own
// word is never taken for what it admitted.
//
// A scenario is data: limits, loads, a script and the figures it has to meet;
// plan.go lists all. Rivals (three redis_rate calls in a row, the same
// pipelined, fail-open, a cold share) stand in the same table under the same
// load, without a figure to meet.
//
// # What makes a line honest
//
// The generator is open loop: requests leave at their times whatever the answers
// do. A scenario whose load did not leave on time is invalid, not passed; so is
// a latency on a machine that was too busy to say anything about it. Time is
// monotonic and one clock stamps requests, admissions and faults.
//
// # The bound
//
// A bucket of rate R and burst B, of which Σk tokens are leased ahead, admits in
// any window w at most B + R·w + Σk. A run that begins with a full bucket admits
// at most B + R·T in all: leased tokens are charged before they are used.
//
// Run it with make accuracy; RESULTS.md is its last table. A plain go test plays
// a short scenario only.
package accuracy
