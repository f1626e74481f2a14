package node

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// patient is a listener that outlasts a shortage of file descriptors, which
// fasthttp takes for the end, and whose connections part politely.
type patient struct{ net.Listener }

// Accept waits and tries again while the process is out of descriptors.
func (p patient) Accept() (net.Conn, error) {
	for {
		conn, err := p.Listener.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			return &clientConn{TCPConn: tcp}, err
		}
		return conn, err
	}
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

	unread atomic.Bool
}

// Close closes the connection, lingering if the request was not read to its end.
func (c *clientConn) Close() error {
	if c.unread.Load() && c.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, c.TCPConn, lingerBytes)
	}
	return c.TCPConn.Close()
}
