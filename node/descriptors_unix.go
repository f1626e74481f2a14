//go:build unix

package node

import (
	"net"
	"os"
	"syscall"
)

// reserveMost is how many descriptors are kept from clients at most; half of all
// where there are few.
const reserveMost = 1024

// fewDescriptorsLeft reports whether those that clients may not take have begun. A
// request may need one for its upstream, and fails without. The kernel gives the
// lowest number that is free, so all below number are in use.
func fewDescriptorsLeft(number uint64) bool {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return false
	}
	most := uint64(limit.Cur) //nolint:unconvert // signed on FreeBSD
	return number+min(reserveMost, most/2) >= most
}

// descriptorOf returns the number of a connection.
func descriptorOf(conn *net.TCPConn) (number uint64) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { number = uint64(fd) }) // closed already: as well
	return number
}

// nextDescriptor returns the number that the next one would have.
func nextDescriptor() uint64 {
	fd, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 1 << 62 // there is none
	}
	_ = syscall.Close(fd)
	return uint64(fd)
}
