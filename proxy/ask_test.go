//go:build unix

package proxy

import (
	"context"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dialAndPeek connects and waits until the other side has spoken: the poller has
// told of it then, and will not again.
func dialAndPeek(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	return c, raw.Read(func(fd uintptr) bool {
		n, _, _ := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return n > 0
	})
}

// An answer that is there before its request is waited for by nobody: nothing more
// will come to wake the one who waits.
func TestAnswerBeforeTheRequest(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		defer close(accepted)
		if c, err := l.Accept(); err == nil {
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
			accepted <- c
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		for c := range accepted {
			_ = c.Close()
		}
	})
	u := newTestBackends(t, Options{Dial: dialAndPeek}).Upstream(configFor("http://" + l.Addr().String()))
	x := newExchange(t, get("/"))
	x.Deadline = time.Now().Add(5 * time.Second)
	if res := forward(t, u, x); string(x.Response.Body()) != "ok" || res.Tries != 1 {
		t.Errorf("got %d in %d tries", x.Response.StatusCode(), res.Tries)
	}
}

// A request of more than one write is not begun either where something was said
// unasked.
func TestLargeRequestOnAConnectionThatSpoke(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := NewBackends(Options{})
	say := talkative(t, l, ok, "HTTP/1.1 200 OK\r\nX-Forged: yes\r\nContent-Length: 0\r\n\r\n")
	t.Cleanup(b.Close)
	u := b.Upstream(configFor("http://" + l.Addr().String()))
	forward(t, u, newExchange(t, get("/first")))
	say()
	x := newExchange(t, get("/second"))
	x.Request.Header.Set("X-Large", strings.Repeat("x", 2*bufferSize))
	if res := forward(t, u, x); string(x.Response.Body()) != "ok" || res.Tries != 1 {
		t.Errorf("got %d in %d tries: %q", x.Response.StatusCode(), res.Tries, &x.Response.Header)
	}
}
