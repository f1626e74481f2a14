package cluster

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"

	"github.com/go-api-gateway-pro/gateway/cluster"
)

// network connects peers in memory. It counts what they send and can be cut in
// two, as a cable is: packets vanish, connections are not answered.
type network struct {
	packets, bytes atomic.Int64

	mu    sync.Mutex // guards the fields below
	ports map[string]*port
	side  map[string]int // of the cut; an address that is not there is on side 0
}

// port is one peer's connection to the network.
type port struct {
	net     *network
	addr    netip.AddrPort
	packets chan *memberlist.Packet
	streams chan net.Conn
}

var _ memberlist.Transport = (*port)(nil)

func newNetwork(t *testing.T) *network {
	// Runs after the peers have left: the library's last attempts to dial end in it.
	t.Cleanup(func() { time.Sleep(time.Minute) })
	return &network{ports: map[string]*port{}, side: map[string]int{}}
}

func (n *network) plug(addr string) *port {
	p := &port{
		net: n, addr: netip.MustParseAddrPort(addr),
		packets: make(chan *memberlist.Packet, 1024), streams: make(chan net.Conn, 64),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ports[addr] = p
	return p
}

// cut puts the peers on other sides; those not named are on side 0.
func (n *network) cut(side map[string]int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.side = side
}

// route returns nil where nothing arrives.
func (n *network) route(from, to string) *port {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.side[from] != n.side[to] {
		return nil
	}
	return n.ports[to]
}

func (p *port) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return p.addr.Addr().AsSlice(), int(p.addr.Port()), nil
}

func (p *port) WriteTo(b []byte, to string) (time.Time, error) {
	p.net.packets.Add(1)
	p.net.bytes.Add(int64(len(b)))
	if dst := p.net.route(p.addr.String(), to); dst != nil {
		packet := &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(p.addr), Timestamp: time.Now()}
		select {
		case dst.packets <- packet:
		default: // as a full socket buffer does
		}
	}
	return time.Now(), nil
}

func (p *port) DialTimeout(to string, timeout time.Duration) (net.Conn, error) {
	dst := p.net.route(p.addr.String(), to)
	if dst == nil {
		time.Sleep(timeout)
		return nil, fmt.Errorf("cannot dial %s: no answer in %s", to, timeout)
	}
	here, there := net.Pipe()
	dst.streams <- &counted{there, p.net}
	return &counted{here, p.net}, nil
}

func (p *port) PacketCh() <-chan *memberlist.Packet { return p.packets }
func (p *port) StreamCh() <-chan net.Conn           { return p.streams }

func (p *port) Shutdown() error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	delete(p.net.ports, p.addr.String())
	return nil
}

// counted is a connection whose bytes count as sent.
type counted struct {
	net.Conn
	net *network
}

func (c *counted) Write(b []byte) (int, error) {
	c.net.bytes.Add(int64(len(b)))
	return c.Conn.Write(b)
}

// join starts a peer at 10.0.0.i with production timings; it leaves with the test
// at the latest.
func (n *network) join(t *testing.T, i int, peers ...int) *cluster.Peer {
	t.Helper()
	var join []string
	for _, peer := range peers {
		join = append(join, address(peer))
	}
	p, err := cluster.New(cluster.Options{
		Config: cluster.Config{Bind: address(i), Label: "test", SecretKey: cluster.Keys{"a passphrase for the tests alone"}, Join: join},
		Name:   fmt.Sprintf("node-%d", i), Version: "v1", Log: zerolog.New(os.Stderr).Level(zerolog.Disabled), Transport: n.plug(address(i)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Leave(context.Background()) })
	p.Join(t.Context())
	return p
}

func address(i int) string { return fmt.Sprintf("10.0.0.%d:7946", i) }
