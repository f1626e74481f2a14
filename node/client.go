package node

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/proxy"
)

const (
	// parkAfter is how long a connection is idle before it is parked, or half as
	// long: longer than a busy client pauses.
	parkAfter = time.Second

	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10

	// A request that has waited for lookFirst has its client looked after, ever
	// less often, at least every lookMost.
	lookFirst = 250 * time.Millisecond
	lookMost  = 5 * time.Second
)

// clientConn is a client's connection.
//
// Every single write has write_timeout_ms, so an answer may take as long as its
// client keeps taking it. If the connection is closed while the client is still
// sending, as after a 413, it first takes in a bounded rest: closing at once
// would reset it and destroy the answer on its way.
//
// An idle connection is parked: fasthttp is told that it has ended, and so gives
// up the buffers and the stack that it holds for it, most of what a connection
// costs, until the first byte of the next request comes.
type clientConn struct {
	net.Conn // the socket, or TLS on it
	socket   *net.TCPConn
	from     *patient
	remote   netip.Addr // the other end
	peer     netip.Addr // whom the connection is counted for; the zero value: nobody
	unread   atomic.Bool
	names    fieldNames // of the request that is served
	host     string     // that the last request named

	idle     bool         // between two requests
	begun    bool         // a request has, and its deadline is not set yet
	deadline time.Time    // for the next request to begin, while idle
	wakes    time.Time    // the socket's, as it was set while idle
	due      bool         // later is
	later    time.Time    // for the rest of a request, set when a read needs it
	writesBy atomic.Int64 // the socket's, in Unix nanoseconds; 0: set by others
	heard    bool         // the client has sent something, ever
	parked   atomic.Bool  // Close parks the connection instead
	first    [1]byte      // of the next request, read while parked
	pending  bool         // first holds it

	mu      sync.Mutex
	waiting *proxy.Exchange // what its client waits for; nil: nothing
	look    time.Time       // when to see whether the client is still there
	pause   time.Duration   // since the last look
	abandon func()          // what to undo if the connection is not taken over
}

// secureConn is a clientConn on TLS. fasthttp recognises it by its methods.
type secureConn struct{ *clientConn }

// Handshake runs the TLS handshake, if it has not run yet.
func (c secureConn) Handshake() error { return c.Conn.(*tls.Conn).Handshake() }

// ConnectionState tells what the handshake agreed on.
func (c secureConn) ConnectionState() tls.ConnectionState {
	return c.Conn.(*tls.Conn).ConnectionState()
}

// clientOf returns the connection that fasthttp serves.
func clientOf(conn net.Conn) *clientConn {
	switch c := conn.(type) {
	case *clientConn:
		return c
	case secureConn:
		return c.clientConn
	}
	panic("BUG: a connection that the data port did not accept")
}

// named returns the text of a Host field. One connection's requests nearly all name
// the same.
func (c *clientConn) named(host []byte) string {
	if c.host != string(host) {
		c.host = string(host)
	}
	return c.host
}

// state follows what fasthttp does with the connection, up to where it is not
// fasthttp's any more.
func (c *clientConn) state(s fasthttp.ConnState) {
	if s == fasthttp.StateIdle || s == fasthttp.StateActive {
		c.idle = s == fasthttp.StateIdle
		c.begun, c.due = !c.idle, false
	}
	if s == fasthttp.StateIdle {
		c.unread.Store(false) // the rest of the body was discarded
	}
}

// SetReadDeadline sets the socket's, but not further ahead than parking if a
// request is being waited for. That of a request that has begun waits for a read:
// most requests have come whole. To set it costs what parsing a header does.
func (c *clientConn) SetReadDeadline(t time.Time) error {
	switch {
	case c.idle:
		return c.sleepUntil(t)
	case c.begun:
		c.begun, c.due, c.later = false, true, t
		return nil
	}
	return c.setReadDeadline(t)
}

// sleepUntil leaves the deadline of the last pause as it is while it lets this one
// last half as long as it may.
func (c *clientConn) sleepUntil(t time.Time) error {
	c.deadline, c.due = t, false
	now := t.Add(-c.from.idleTimeout) // how fasthttp came to it, a moment ago
	if left := c.wakes.Sub(now); left >= parkAfter/2 && !c.wakes.After(t) {
		return nil
	}
	c.wakes = earlier(t, now.Add(parkAfter))
	return c.Conn.SetReadDeadline(c.wakes)
}

func (c *clientConn) setReadDeadline(t time.Time) error {
	c.forgetReads()
	return c.Conn.SetReadDeadline(t)
}

// forgetReads writes nothing when there is nothing to forget: a tunnel's ends do
// not wait for each other.
func (c *clientConn) forgetReads() {
	if c.begun || c.due {
		c.begun, c.due = false, false
	}
	if !c.wakes.IsZero() {
		c.wakes = time.Time{}
	}
}

// SetDeadline sets the socket's, at once.
func (c *clientConn) SetDeadline(t time.Time) error {
	c.forgetReads()
	c.writesBy.Store(0)
	return c.Conn.SetDeadline(t)
}

// SetWriteDeadline sets the socket's; the next write has its own.
func (c *clientConn) SetWriteDeadline(t time.Time) error {
	c.writesBy.Store(0)
	return c.Conn.SetWriteDeadline(t)
}

// Read reads from the client. If the next request is long in coming it reports
// the end of the connection, which is then parked.
func (c *clientConn) Read(b []byte) (int, error) {
	if c.pending && len(b) > 0 {
		c.pending = false
		return copy(b, c.first[:]), nil
	}
	if c.due {
		if err := c.setReadDeadline(c.later); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(b)
	switch {
	case n > 0:
		c.heard = true
	case !isTimeout(err):
	case c.idle && time.Now().Before(c.deadline):
		c.parked.Store(true)
		return 0, io.EOF
	case !c.heard:
		return 0, io.EOF // opened ahead of need: a 408 would be taken for the answer to what comes just now
	}
	return n, err
}

// awaitRequest waits, parked, for the first byte of the next request. It returns
// false if none came.
func (c *clientConn) awaitRequest() bool {
	n, err := c.Conn.Read(c.first[:])
	c.pending, c.idle = n == 1, false
	return n == 1 && err == nil
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

// Write writes within write_timeout_ms, or an eighth more: the deadline is set that
// much too late, and serves all writes until it is no longer so.
func (c *clientConn) Write(b []byte) (int, error) {
	now, timeout := time.Now(), c.from.writeTimeout
	if c.writesBy.Load() < now.Add(timeout).UnixNano() {
		by := now.Add(timeout + timeout/8)
		if err := c.Conn.SetWriteDeadline(by); err != nil {
			return 0, err
		}
		c.writesBy.Store(by.UnixNano())
	}
	return c.Conn.Write(b)
}

// CloseWrite tells the client that nothing more will come.
func (c *clientConn) CloseWrite() error {
	if secure, ok := c.Conn.(*tls.Conn); ok {
		return secure.CloseWrite()
	}
	return c.socket.CloseWrite()
}

// Close parks an idle connection. It closes any other, lingering if the request
// was not read to its end.
func (c *clientConn) Close() error {
	if c.parked.CompareAndSwap(true, false) && c.from.park(c) {
		return nil
	}
	defer c.from.forget(c)
	if abandon := c.takeOver(); abandon != nil {
		abandon()
	}
	if c.unread.Load() && c.CloseWrite() == nil {
		_ = c.socket.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, c.socket, lingerBytes)
	}
	return c.Conn.Close()
}

// waitFor says that the client has waited for x since then; nil ends it. x is not
// touched any more once waitFor(nil) has returned.
func (c *clientConn) waitFor(x *proxy.Exchange, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = x
	if x != nil {
		c.look, c.pause = since.Add(lookFirst), lookFirst
	}
}

// lookAfter aborts what the client waits for if the client has gone: it costs
// nothing while answers are quick, a system call now and then while they are not.
func (c *clientConn) lookAfter(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil || now.Before(c.look) {
		return
	}
	c.pause = min(2*c.pause, lookMost)
	c.look = now.Add(c.pause)
	if hungUp(c.socket) {
		c.look = now // until the exchange has noticed
		c.waiting.Abort()
	}
}

// cutOff closes the socket and gives up what its client waits for.
func (c *clientConn) cutOff() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.socket.Close()
	if c.waiting != nil {
		c.waiting.Abort()
	}
}

// unlessTaken sets what Close does if nobody takes the connection over.
func (c *clientConn) unlessTaken(abandon func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abandon = abandon
}

// takeOver returns what unlessTaken set, once.
func (c *clientConn) takeOver() func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	abandon := c.abandon
	c.abandon = nil
	return abandon
}
