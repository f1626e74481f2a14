package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	quiet     = 20 * time.Millisecond // without a new connection: the queue is empty
	quietMost = time.Second           // for clients that never cease to come

	dismissOf = 64 // idle connections that are looked at to dismiss one
)

// patient is the data port's listener. It outlasts a shortage of file descriptors,
// which fasthttp takes for the end, does not drop the connections the kernel has
// taken but nobody has accepted yet, and bounds how many one client may have.
type patient struct {
	*net.TCPListener
	secure       *tls.Config   // nil: no TLS
	writeTimeout time.Duration // of a single write
	idleTimeout  time.Duration // between two requests
	perClient    int           // connections of one address; 0: any number
	ipv6Prefix   int           // bits that make an IPv6 network one address
	exempt       func(netip.Addr) bool
	refused      prometheus.Counter
	telling      chan struct{} // bounds how many are being refused at once
	told         sync.WaitGroup
	resume       func(net.Conn) // serves a connection whose next request has begun

	ends atomic.Int64 // when finish was called plus quietMost, in Unix nanoseconds; 0 before

	mu     sync.Mutex
	open   map[*clientConn]struct{}
	counts map[netip.Addr]int
	parked map[*clientConn]struct{}
	awake  bool // none is parked any more
}

func listen(host string, port int) (*patient, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	return &patient{
		TCPListener: ln.(*net.TCPListener), open: map[*clientConn]struct{}{}, counts: map[netip.Addr]int{},
		parked: map[*clientConn]struct{}{}, resume: func(c net.Conn) { _ = c.Close() },
		telling: make(chan struct{}, 64), writeTimeout: time.Minute, exempt: func(netip.Addr) bool { return false },
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gateway_connections_refused_total", Help: "Connections refused because their client had as many as allowed.",
		}),
	}, nil
}

// Accept waits and tries again while the process is out of descriptors. After
// finish it returns io.EOF once nobody has come for a moment.
func (p *patient) Accept() (net.Conn, error) {
	for {
		if ends := p.ends.Load(); ends != 0 {
			_ = p.SetDeadline(earlier(time.Now().Add(quiet), time.Unix(0, ends)))
		}
		conn, err := p.AcceptTCP()
		switch {
		case err == nil:
			if kept := p.keep(conn); kept != nil {
				p.leaveSome(conn)
				return kept, nil
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
			_ = p.Close()
			return nil, io.EOF
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
			time.Sleep(50 * time.Millisecond)
		default:
			return nil, err
		}
	}
}

// leaveSome waits while the process has hardly a descriptor left for upstreams, and
// other connections that could give some back. A connection that waits is served later; one
// that is taken without them fails. Those that are idle make room.
func (p *patient) leaveSome(conn *net.TCPConn) {
	for number := descriptorOf(conn); fewDescriptorsLeft(number) && p.connections() > 1 && p.ends.Load() == 0; number = nextDescriptor() {
		if p.dismiss() {
			time.Sleep(5 * time.Millisecond) // until it is closed
		} else {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// dismiss closes a connection that waits for a request, of some the one that has
// waited longest. It returns false if there is none.
func (p *patient) dismiss() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var longest *clientConn
	looked := 0
	for conn := range p.parked {
		if longest == nil || conn.deadline.Before(longest.deadline) {
			longest = conn
		}
		if looked++; looked == dismissOf {
			break
		}
	}
	if longest == nil {
		return false
	}
	delete(p.parked, longest)
	_ = longest.Conn.SetReadDeadline(time.Unix(1, 0))
	return true
}

// keep returns the connection as it is served, nil if its client has too many.
func (p *patient) keep(tcp *net.TCPConn) net.Conn {
	conn := &clientConn{Conn: tcp, socket: tcp, from: p, remote: peerAddress(tcp.RemoteAddr())}
	if !p.count(conn) {
		p.refused.Inc()
		p.turnAway(tcp)
		return nil
	}
	if p.secure == nil {
		return conn
	}
	conn.Conn = tls.Server(tcp, p.secure)
	return secureConn{conn}
}

// count adds the connection to its client's, if that may have another.
func (p *patient) count(conn *clientConn) bool {
	addr := oneClient(conn.remote, p.ipv6Prefix)
	limited := p.perClient > 0 && !p.exempt(addr)
	p.mu.Lock()
	defer p.mu.Unlock()
	if limited {
		if p.counts[addr] >= p.perClient {
			return false
		}
		conn.peer = addr
		p.counts[addr]++
	}
	p.open[conn] = struct{}{}
	return true
}

// oneClient returns what counts as one client: an IPv4 address, or an IPv6
// network, any address of which a client can take.
func oneClient(addr netip.Addr, ipv6Prefix int) netip.Addr {
	if addr.Is4() {
		return addr
	}
	network, err := addr.WithZone("").Prefix(ipv6Prefix)
	if err != nil {
		return addr
	}
	return network.Addr()
}

// turnAway tells a client why, if it can be told without TLS and not too many are
// being told already.
func (p *patient) turnAway(tcp *net.TCPConn) {
	select {
	case p.telling <- struct{}{}:
	default:
		_ = tcp.Close()
		return
	}
	p.told.Go(func() {
		defer func() { <-p.telling }()
		defer tcp.Close()
		if p.secure != nil {
			return
		}
		_ = tcp.SetDeadline(time.Now().Add(lingerTime))
		body := problemOf(errConnections).body("")
		_, _ = fmt.Fprintf(tcp, "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/problem+json\r\n"+
			"Retry-After: 1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		if tcp.CloseWrite() == nil {
			_, _ = io.CopyN(io.Discard, tcp, lingerBytes)
		}
	})
}

func (p *patient) forget(conn *clientConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, open := p.open[conn]; !open {
		return
	}
	delete(p.open, conn)
	if !conn.peer.IsValid() {
		return
	}
	if p.counts[conn.peer]--; p.counts[conn.peer] == 0 {
		delete(p.counts, conn.peer)
	}
}

// connections returns how many are open.
func (p *patient) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}

// lookAfterClients ends requests whose clients have gone, until ctx ends.
func (p *patient) lookAfterClients(ctx context.Context) {
	ticker := time.NewTicker(lookFirst)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			p.mu.Lock()
			for conn := range p.open {
				conn.lookAfter(now)
			}
			p.mu.Unlock()
		}
	}
}

// cutOff closes the connections that a drain left: a node that stopped must not
// answer any more.
func (p *patient) cutOff() {
	p.told.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		conn.cutOff()
	}
}

// park waits for the connection's next request with next to nothing. It returns
// false once the node stops.
func (p *patient) park(conn *clientConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Before it can be found: who finds it shortens the deadline.
	if p.awake || conn.setReadDeadline(conn.deadline) != nil {
		return false
	}
	p.parked[conn] = struct{}{}
	go p.await(conn) // ends with the connection, at the latest in cutOff
	return true
}

func (p *patient) await(conn *clientConn) {
	begun := conn.awaitRequest()
	p.mu.Lock()
	delete(p.parked, conn)
	p.mu.Unlock()
	switch {
	case !begun:
		_ = conn.Close()
	case p.secure != nil:
		p.resume(secureConn{conn})
	default:
		p.resume(conn)
	}
}

// closeParked closes the connections that wait for a request, as fasthttp does
// with those it knows to be idle.
func (p *patient) closeParked() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.awake = true
	for conn := range p.parked {
		_ = conn.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// finish lets Accept take in who is already waiting, and then end.
func (p *patient) finish() {
	now := time.Now()
	p.ends.Store(now.Add(quietMost).UnixNano())
	_ = p.SetDeadline(now.Add(quiet)) // wakes the Accept that is waiting
}

// Close closes the listener; closing it again is no error.
func (p *patient) Close() error {
	if err := p.TCPListener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
