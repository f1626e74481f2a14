//go:build unix

package proxy

import (
	"cmp"
	"os"
	"syscall"
)

// alive looks, without waiting and without taking anything, whether the other
// side closed an idle connection or sent something nobody asked for.
func (c *conn) alive() bool {
	if c.raw == nil {
		return true
	}
	if c.peek == nil {
		c.peek = func(fd uintptr) bool {
			c.quiet = isQuiet(fd)
			return true
		}
	}
	c.quiet = false
	return c.raw.Read(c.peek) == nil && c.quiet
}

func isQuiet(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err == syscall.EAGAIN || err == syscall.EWOULDBLOCK || err == syscall.EINTR
}

// ask begins a request: it looks as alive does, writes b and, if b is all of the
// request, waits for the answer to begin. In one pass through the poller the look
// is also the read that finds nothing and without which there is no waiting, so
// that it costs no system call of its own.
func (c *conn) ask(b []byte) (int, error) {
	if c.raw == nil {
		return c.send(b)
	}
	if c.step == nil {
		c.step = c.askOnce
	}
	c.question = question{text: b}
	err := c.raw.Read(c.step)
	q := c.question
	c.question = question{}
	c.wrote = q.sent > 0
	if err = cmp.Or(q.failure, err); err != nil || q.sent == len(b) {
		return q.sent, err
	}
	n, err := c.send(b[q.sent:])
	return q.sent + n, err
}

// askOnce is ask at the poller's mercy: it is called again when there is
// something to read. It returns true when there is nothing to wait for.
func (c *conn) askOnce(fd uintptr) bool {
	q := &c.question
	if q.put {
		return true
	}
	quiet := isQuiet(fd)
	if !quiet && c.served {
		q.failure = errNotIdle
		return true
	}
	var err error
	if q.sent, err = syscall.Write(int(fd), q.text); err != nil {
		q.sent = 0
		if err != syscall.EAGAIN && err != syscall.EINTR {
			q.failure = os.NewSyscallError("write", err)
		}
	}
	q.put = true
	// Unless it was quiet before, the poller may have told of it already.
	return !c.last || !quiet || q.sent < len(q.text)
}
