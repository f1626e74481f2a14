package proxy

import (
	"net"
	"syscall"
)

// conn is a pooled connection that knows whether it served a request before and
// whether anything of the present one was written. One goroutine at a time.
type conn struct {
	net.Conn
	raw    syscall.RawConn // of the socket, nil if there is none
	served bool
	wrote  bool
	// dirty says that more came than the response: whatever it is, the next
	// request must not take it for its answer.
	dirty bool
}

func newConn(c, socket net.Conn) *conn {
	out := &conn{Conn: c}
	if s, ok := socket.(syscall.Conn); ok {
		// Without it the connection merely counts as alive.
		out.raw, _ = s.SyscallConn()
	}
	return out
}

// Write remembers that something was sent. A TLS record that was written in part
// counts as not sent: the other side cannot use it.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if n > 0 {
		c.wrote = true
	}
	return n, err
}
