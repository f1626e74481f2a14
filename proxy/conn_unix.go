//go:build unix

package proxy

import "syscall"

// alive looks, without waiting and without taking anything, whether the other
// side closed an idle connection or sent something nobody asked for.
func (c *conn) alive() bool {
	if c.raw == nil {
		return true
	}
	if c.peek == nil {
		c.peek = func(fd uintptr) bool {
			var b [1]byte
			_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			c.quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK || err == syscall.EINTR
			return true
		}
	}
	c.quiet = false
	return c.raw.Read(c.peek) == nil && c.quiet
}
