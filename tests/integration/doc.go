// Package integration tests the real gateway binary against a real Redis in a
// container: what a user sees of one node and of a cluster, and what happens
// when Redis, a node or a configuration fails.
//
// It needs Docker and fails without it. Load is a few hundred requests a second
// on 127.0.0.1. What was admitted is counted at the upstream, not taken from
// the gateway's word.
package integration
