package proxy

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// glance is how often a write of a streamed body that does not get on looks
// whether the upstream has answered already and reads no further.
const glance = 200 * time.Millisecond

// errAnswered ends the writing of a body: the answer is there before its end.
var errAnswered = errors.New("answered before the request was complete")

// errNotIdle says that a connection cannot be used again. Nothing was written.
var errNotIdle = errors.New("closed, or not silent, between two requests")

// conn is a pooled connection that knows whether it served a request before and
// whether anything of the present one was written. One goroutine at a time.
type conn struct {
	net.Conn
	socket net.Conn        // below TLS, or the same
	raw    syscall.RawConn // of the socket, nil if there is none
	peek   func(fd uintptr) bool
	quiet  bool // what peek saw
	secure bool
	served bool
	wrote  bool
	// asks says that the first write of a request looks whether the connection is
	// idle, and last that what is written next is the end of the request.
	asks, last bool
	question   question
	step       func(fd uintptr) bool
	// pace, if not 0, bounds every single read and write instead of the
	// deadline of the request: it is how a body of any length passes.
	pace time.Duration
	// dirty says that more came than the response, or less went than the
	// request: whatever comes next must not be taken for the next answer.
	dirty bool
}

// question is the beginning of a request on its way.
type question struct {
	text    []byte
	sent    int
	put     bool
	failure error
}

func newConn(c, socket net.Conn) *conn {
	out := &conn{Conn: c, socket: socket, secure: c != socket}
	if s, ok := socket.(syscall.Conn); ok {
		// Without it the connection merely counts as alive.
		out.raw, _ = s.SyscallConn()
	}
	return out
}

// Read reads within the pace, if there is one.
func (c *conn) Read(b []byte) (int, error) {
	if c.pace > 0 {
		if err := c.SetReadDeadline(time.Now().Add(c.pace)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

// holdsMore looks whether TLS has taken in more than was read: the socket does not
// tell. A read that may not wait returns what there is; then the deadline is set
// again.
func (c *conn) holdsMore(deadline time.Time) bool {
	if !c.secure {
		return false
	}
	var b [1]byte
	_ = c.SetReadDeadline(time.Unix(1, 0))
	n, err := c.Conn.Read(b[:])
	return n > 0 || !isTimeout(err) || c.SetReadDeadline(deadline) != nil
}

// Write remembers that something was sent. A TLS record that was written in part
// counts as not sent: the other side cannot use it.
func (c *conn) Write(b []byte) (int, error) {
	switch {
	case c.pace > 0:
		return c.writePaced(b)
	case c.asks && !c.wrote:
		return c.ask(b)
	}
	return c.send(b)
}

func (c *conn) send(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if n > 0 {
		c.wrote = true
	}
	return n, err
}

// writePaced writes a part of a streamed body, as long as there is no answer
// yet. On TLS the socket does not tell answers from other records, and a write
// cannot be resumed: there only the pace ends it.
func (c *conn) writePaced(b []byte) (int, error) {
	patience := glance
	if c.secure {
		patience = c.pace
	}
	written, moved := 0, time.Now()
	for {
		if !c.secure && !c.alive() {
			return written, errAnswered
		}
		if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(b[written:])
		if n > 0 {
			c.wrote, moved = true, time.Now()
			written += n
		}
		if err == nil || c.secure || !isTimeout(err) || time.Since(moved) >= c.pace {
			return written, err
		}
	}
}
