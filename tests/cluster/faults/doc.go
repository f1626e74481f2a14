// Package faults plays every fault a cluster is to survive while it is under load,
// and tells for each what was promised and what happened.
//
// Three processes of the gateway stand behind a real nginx, with a real
// redis-server and upstreams of the suite's own. A load of one rate, whatever the
// answers do, sends requests of which each has an id of its own; the client notes
// what became of every one and each upstream what reached it. The oracle joins
// both, and so knows what failed, what was lost, what was done twice and what was
// admitted beyond the limit. Nobody's own word is taken for it.
//
// A fault is an entry of the plan: what is done, what shows that it is there, how
// it is undone, and the promise. A fault that cannot be seen to bite is a miss.
//
// One fault alone: go test ./tests/cluster/faults -v -run 'TestFaults/redis_killed' -args -full.
// make faults plays all and writes RESULTS.md; a plain go test plays two of them, shortly.
package faults
