package harness

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

const Nobody = -1

// Gossip is the network between the nodes. Every node is reached through a relay
// of its own, at the address it advertises; cut takes one node out.
//
// A datagram tells its sender by the port it comes from, a connection does not.
// So while a node is cut off there are no connections between any nodes. The
// others do not miss them: they are for full exchanges every half minute and for
// nodes that a datagram did not reach.
type Gossip struct {
	binds []string // where the nodes listen
	Addrs []string // where they are reached
	Cut   atomic.Int32
}

// NewGossip relays ports[i] to binds[i] until the test ends.
func NewGossip(tb testing.TB, binds []string, ports []int) *Gossip {
	tb.Helper()
	g := &Gossip{binds: binds}
	g.Cut.Store(Nobody)
	for i, port := range ports {
		g.Addrs = append(g.Addrs, Loopback(port))
		g.relayUDP(tb, i)
		NewRelay(tb, port, binds[i], func() bool { return g.Cut.Load() == Nobody })
	}
	return g
}

// relayUDP carries datagrams to node i.
func (g *Gossip) relayUDP(tb testing.TB, i int) {
	tb.Helper()
	conn, err := net.ListenPacket("udp", g.Addrs[i])
	if err != nil {
		tb.Fatalf("cannot listen for a gossip relay: %v", err)
	}
	to, err := net.ResolveUDPAddr("udp", g.binds[i])
	if err != nil {
		tb.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return // closed
			}
			if g.lets(from.String(), i) {
				_, _ = conn.WriteTo(buf[:n], to) // lost like any datagram
			}
		}
	})
	tb.Cleanup(func() {
		conn.Close()
		running.Wait()
	})
}

// lets reports whether a datagram may pass to node i.
func (g *Gossip) lets(from string, i int) bool {
	cut := g.Cut.Load()
	return cut == Nobody || int(cut) != i && from != g.binds[cut]
}
