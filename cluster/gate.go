package cluster

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	maxStreams     = 64          // connections of others at once; each ends within tcpTimeout
	maxStreamBytes = 8 << 20     // from one connection; a full state is far smaller
	streamWait     = time.Second // for one of them to end, so that a burst of members is served
	bindTries      = 10          // port 0: the kernel's choice for TCP may be taken for UDP
)

var errStreamTooLong = errors.New("connection brought more bytes than any member sends")

// gate is the sockets, and lets in so many connections and so many bytes of each.
// The library buffers what anybody sends before it looks at the key, up to 20 MiB
// for each connection.
type gate struct {
	*memberlist.NetTransport

	refusals *prometheus.CounterVec
	streams  chan net.Conn
	slots    chan struct{}
	shut     sync.Once
	done     chan struct{}
	forward  sync.WaitGroup
}

var _ memberlist.NodeAwareTransport = (*gate)(nil)

// openGate binds the addresses of conf and writes a port that was found into it.
func openGate(conf *memberlist.Config, refusals *prometheus.CounterVec) (*gate, error) {
	var sockets *memberlist.NetTransport
	var err error
	for range bindTries {
		sockets, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{conf.BindAddr}, BindPort: conf.BindPort, Logger: conf.Logger,
		})
		if err == nil || conf.BindPort != 0 {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open sockets: %w", err)
	}
	if conf.BindPort == 0 {
		conf.BindPort = sockets.GetAutoBindPort()
		conf.AdvertisePort = conf.BindPort
	}
	g := &gate{
		NetTransport: sockets, refusals: refusals,
		streams: make(chan net.Conn), slots: make(chan struct{}, maxStreams), done: make(chan struct{}),
	}
	g.forward.Go(g.admit)
	return g, nil
}

// StreamCh replaces that of the sockets.
func (g *gate) StreamCh() <-chan net.Conn { return g.streams }

// DialAddressTimeout bounds what is written as well: the library waits for ever
// for a process that stands still and reads nothing.
func (g *gate) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	conn, err := g.NetTransport.DialAddressTimeout(to, timeout)
	if err != nil {
		return nil, err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// Shutdown closes the sockets; their listeners wait for admit until they have.
func (g *gate) Shutdown() error {
	err := g.NetTransport.Shutdown()
	g.shut.Do(func() { close(g.done) })
	g.forward.Wait()
	return err
}

func (g *gate) admit() {
	for {
		select {
		case <-g.done:
			return
		case conn := <-g.NetTransport.StreamCh():
			g.pass(conn)
		}
	}
}

// pass hands a connection on, or closes it if there are too many for too long.
func (g *gate) pass(conn net.Conn) {
	limit := time.NewTimer(streamWait)
	defer limit.Stop()
	select {
	case g.slots <- struct{}{}:
	case <-g.done:
		_ = conn.Close()
		return
	case <-limit.C:
		g.refusals.WithLabelValues(refusedBusy).Inc()
		_ = conn.Close()
		return
	}
	s := &stream{Conn: conn, gate: g, left: maxStreamBytes}
	select {
	case g.streams <- s:
	case <-g.done:
		_ = s.Close()
	}
}

// stream is a connection that ends after maxStreamBytes.
type stream struct {
	net.Conn

	gate  *gate
	left  int // read by one goroutine
	ended sync.Once
}

func (s *stream) Read(b []byte) (int, error) {
	if s.left == 0 && len(b) > 0 {
		s.gate.refusals.WithLabelValues(refusedSize).Inc()
		return 0, errStreamTooLong
	}
	n, err := s.Conn.Read(b[:min(len(b), s.left)])
	s.left -= n
	return n, err
}

func (s *stream) Close() error {
	s.ended.Do(func() { <-s.gate.slots })
	return s.Conn.Close()
}
