package harness

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Ports returns n consecutive ports that are free on 127.0.0.1 for TCP and UDP.
// They lie below those that the system hands out by itself, so that no other
// test is given one between two of its owner's uses.
func Ports(tb testing.TB, n int) []int {
	tb.Helper()
	const low, high = 10_000, 32_000
	for range 1000 {
		first := low + rand.IntN(high-low-n)
		var ports []int
		for port := first; port < first+n && isFree(port); port++ {
			ports = append(ports, port)
		}
		if len(ports) == n {
			return ports
		}
	}
	tb.Fatalf("no %d free ports in a row between %d and %d", n, low, high)
	return nil
}

func isFree(port int) bool {
	at := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	tcp, err := net.Listen("tcp", at)
	if err != nil {
		return false
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", at)
	if err != nil {
		return false
	}
	defer udp.Close()
	return true
}

// Loopback is the address of a port on 127.0.0.1.
func Loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Addresses are those of ports on 127.0.0.1.
func Addresses(ports []int) []string {
	var all []string
	for _, port := range ports {
		all = append(all, Loopback(port))
	}
	return all
}
