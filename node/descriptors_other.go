//go:build !unix

package node

import "net"

// Handles are not bounded here.
func fewDescriptorsLeft(uint64) bool   { return false }
func descriptorOf(*net.TCPConn) uint64 { return 0 }
func nextDescriptor() uint64           { return 0 }
