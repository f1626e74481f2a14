//go:build unix

package node

import (
	"net"
	"syscall"
	"testing"
	"time"
)

// Clients take no descriptor that an upstream needs: past the reserve the next one
// waits until another has gone.
func TestClientsLeaveDescriptors(t *testing.T) {
	p, err := listen("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	first, err := p.Accept()
	if err != nil {
		t.Fatal(err)
	}
	dial()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	lower := before
	lower.Cur = nextDescriptor() + 2 // half of it is more
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lower); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before) }()

	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := p.Accept()
		accepted <- c
	}()
	select {
	case <-accepted:
		t.Fatal("a client was taken that leaves no descriptor to the upstreams")
	case <-time.After(200 * time.Millisecond):
	}
	first.Close()
	select {
	case c := <-accepted:
		if c == nil {
			t.Fatal("no connection after the first has gone")
		}
		c.Close()
	case <-time.After(10 * time.Second):
		t.Fatal("the second is not taken after the first has gone")
	}
}
