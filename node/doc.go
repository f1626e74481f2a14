// Package node is one gateway node: it puts the packages together, and it is
// the only one that knows them all.
//
// Three files tell most of the story. chain.go lists everything that happens to
// a request, in order. node.go builds the node in dependency order, each part
// with its teardown next to it. reload.go swaps the configuration: everything
// that can fail happens before one pointer is stored, nothing after.
//
// What a configuration defines (routes, limits, keys) is a snapshot that a
// request loads once. What must survive a configuration (connections, breakers,
// buckets, membership) lives outside the snapshot, in the packages that own it.
package node
