// Package cluster holds tests of several nodes in one process: real gossip, real
// connections, an embedded Redis.
package cluster
