// Package soak loads a cluster for long and watches what it holds on to.
//
// Three real nodes and a real redis-server serve the scenario soak of
// tests/load/scenarios.json, in which users and addresses are new ones all the time.
// Meanwhile the configuration changes, upstreams restart, clients come on connections
// of their own and WebSockets and event streams open and close. No request may fail,
// and in the end no node may hold more memory, goroutines or descriptors than it did
// when it was warm.
//
// Run it with make soak DURATION=30m; docs/soak.md is its last report. A plain go test
// plays a few seconds, too short to judge growth by.
package soak
