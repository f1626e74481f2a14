package node

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	quiet     = 20 * time.Millisecond // without a new connection: the queue is empty
	quietMost = time.Second           // for clients that never cease to come
)

// patient is a listener that outlasts a shortage of file descriptors, which
// fasthttp takes for the end, whose connections part politely, and that does not
// drop the connections the kernel has taken but nobody has accepted yet.
type patient struct {
	*net.TCPListener

	ends atomic.Int64 // when finish was called plus quietMost, in Unix nanoseconds; 0 before

	mu   sync.Mutex
	open map[*clientConn]struct{}
}

func listen(host string, port int) (*patient, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	return &patient{TCPListener: ln.(*net.TCPListener), open: map[*clientConn]struct{}{}}, nil
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
			return p.keep(conn), nil
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

func (p *patient) keep(tcp *net.TCPConn) *clientConn {
	conn := &clientConn{TCPConn: tcp, from: p}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[conn] = struct{}{}
	return conn
}

func (p *patient) forget(conn *clientConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, conn)
}

// cutOff closes the connections that a drain left: a node that stopped must not
// answer any more.
func (p *patient) cutOff() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		_ = conn.TCPConn.Close()
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

const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// clientConn is a client's connection. If it is closed while the client is still
// sending, as after a 413, it first takes in a bounded rest: closing at once
// would reset the connection and destroy the answer on its way.
type clientConn struct {
	*net.TCPConn

	from   *patient
	unread atomic.Bool
}

// Close closes the connection, lingering if the request was not read to its end.
func (c *clientConn) Close() error {
	defer c.from.forget(c)
	if c.unread.Load() && c.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, c.TCPConn, lingerBytes)
	}
	return c.TCPConn.Close()
}
