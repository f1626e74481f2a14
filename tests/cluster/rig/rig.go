// Package rig is what tests of a cluster set up and break on one machine: a real
// redis-server, and relays between nodes, Redis and each other.
package rig

import (
	"net"
	"strconv"
)

// Loopback is a port on 127.0.0.1.
func Loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Addresses are ports on 127.0.0.1.
func Addresses(ports []int) []string {
	var all []string
	for _, port := range ports {
		all = append(all, Loopback(port))
	}
	return all
}
