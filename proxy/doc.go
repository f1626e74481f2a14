// Package proxy forwards requests to upstreams.
//
// Package router in it finds the route; [Upstream.Forward] cleans the headers,
// picks an endpoint, and retries where a retry cannot do harm.
//
// State is owned by [Backends] and outlives every configuration: names, their
// addresses, connections and breakers are keyed by (scheme, name, address). An
// [Upstream] is only settings plus a pointer into that state, so a reload
// neither reconnects nor forgets that a backend is failing.
//
// An endpoint is chosen among all addresses of all upstreams of a route ([view]):
// by load, in turn or by hash, leaving out those whose connections are all taken,
// whose breaker is open or whose health checks fail. Settings that belong to an
// upstream (connections, health checks) take effect when [Backends.Retain] tells
// which upstreams are in force.
//
// A name is resolved in the background every five seconds and every address in
// the answer becomes an endpoint with its own connections and its own breaker.
// A name that does not resolve yet does not prevent start: the first request
// waits for the answer within its own deadline.
//
// Trade-off: small bodies are read whole, all others are streams. What was read
// whole can be sent again, and a response is then complete or an error; a stream
// costs one piece of memory, is sent once, and may break off at its client as it
// did at its upstream. A WebSocket is a [Tunnel], and the caller's to run.
//
// What is sent twice: the methods a route lists when the connection broke, the
// try timed out or the answer has a listed status, and any method when not a byte
// of it was written; within a budget that all routes of an upstream share. A connection the upstream closed while idle is looked at before a
// request that cannot be repeated is written to it.
//
// Nodes tell each other what they find out about endpoints (package breaker);
// [Backends] is the state they exchange.
//
// When things fail: an endpoint that fails several times in a row is left out
// until one trial request of the cluster succeeds ([ErrOpen] once all are out); a resolver
// that fails leaves the last addresses in use ([ErrNoBackend] only if there
// never were any); a silent upstream ends at the deadline ([ErrTimeout]);
// everything else is [ErrUpstream].
package proxy
