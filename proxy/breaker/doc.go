// Package breaker decides whether a backend gets the next request, from what
// this node saw and from what the other nodes of the cluster say they saw.
//
// A breaker of one node alone costs a dead backend its threshold once for every
// node: three nodes, fifteen failed requests. Shared naively it is worse: one
// node with a bad cable takes a healthy backend away from all. So here a node
// believes itself first, and others only as far as they can be checked.
//
// # Rules
//
//  1. Own evidence always counts. Two failures in a row are announced as
//     failing; at the threshold the breaker opens, which is announced too.
//  2. Suspicion: once another node opened, the next result of a request started
//     afterwards decides. A failure opens, a success clears, and the same node
//     cannot raise suspicion again for 30 seconds.
//  3. Majority: while more than half of the live members are failing or open by
//     what they saw themselves, and no success here refuted them since, the
//     breaker opens at once.
//  4. Probes: one node tries, the others wait for what it finds. Members are
//     ranked anew for every attempt by a hash, and the one of rank r tries at
//     the time of the next probe plus r · 500 ms unless it has heard of another
//     try. So a node that is sick, dead, idle or ignorant is stepped over.
//  5. A success elsewhere closes only what others opened. Where the node's own
//     evidence opened, it earns one trial; if that fails the breaker opens for
//     twice as long, at most eight times, and accuses nobody anew. Traffic
//     returns by a ramp.
//  6. A node for which everything fails, two upstreams at least, while others
//     report success, is itself what is broken: it withdraws what it said and
//     keeps silent for ten seconds. It goes on probing.
//  7. An operator's override holds on all nodes until its own end. The last
//     writer wins, by version and then by name.
//
// Requests that the client gave up say nothing and never count.
//
// # What travels
//
// Transitions, never counters. A row is what one node says of one backend; only
// that node writes it, the highest version wins, and it expires 30 seconds after
// its owner last renewed it. Rows of nodes that are not live are ignored. An
// accusation carries an episode number: renewing it is no new accusation. Times
// travel as what is left of them, since clocks may disagree.
//
// # The trade-off
//
// An error burst that hits two of three nodes opens for all three sooner than
// three lone breakers would. In return a dead backend costs the cluster about
// what it costs one node, and a backend that recovers is probed by one request
// at a time, not by one from every node.
//
// # When things fail
//
// A message that is lost is repaired by the exchange of full states; until then
// the node relies on its own evidence, as it would alone. A node without peers is
// a cluster of one: rules 1, 5 and 7 remain.
//
// The package knows neither network nor goroutines: time, members and messages
// are arguments, so that whole clusters can be simulated in its tests.
package breaker
