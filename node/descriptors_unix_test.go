//go:build unix

package node

import (
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dialTo connects until the test ends.
func dialTo(t *testing.T, addr net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// leaveDescriptors limits the process to so many until restore is called.
func leaveDescriptors(t *testing.T, most uint64) (restore func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	lower := before
	lower.Cur = most
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lower); err != nil {
		t.Fatal(err)
	}
	return func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before) }
}

// Clients take no descriptor that an upstream needs: past the reserve the next one
// waits until another has gone.
func TestClientsLeaveDescriptors(t *testing.T) {
	p, err := listen("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	dial := func() net.Conn { return dialTo(t, p.Addr()) }
	dial()
	first, err := p.Accept()
	if err != nil {
		t.Fatal(err)
	}
	dial()
	defer leaveDescriptors(t, nextDescriptor()+2)() // half of it is more

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

// Who has as many connections as allowed is told so at once, and nobody makes room
// for one that is refused.
func TestTooManyConnectionsWaitForNoDescriptor(t *testing.T) {
	p, err := listen("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.perClient = 1
	dial := func() net.Conn { return dialTo(t, p.Addr()) }
	dial()
	first, err := p.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second := dial()
	defer leaveDescriptors(t, nextDescriptor()+2)()
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		_, _ = p.Accept()
	}()
	defer func() { // in this order: Accept ends with the listener
		first.Close()
		p.Close()
		<-accepting
	}()
	_ = second.SetDeadline(time.Now().Add(2 * time.Second))
	if said, err := io.ReadAll(second); err != nil || !strings.HasPrefix(string(said), "HTTP/1.1 429 ") {
		t.Errorf("got %q, %v, want a 429", said, err)
	}
}

// Who keeps idle connections does not keep others out: they make room.
func TestIdleClientsMakeRoom(t *testing.T) {
	n := startIn(t.Context(), t, streamRoutes, "drain_delay_ms: 0, idle_timeout_ms: 60000")
	ask := func() (took time.Duration) {
		t.Helper()
		conn, r := n.dial()
		began := time.Now()
		if _, err := io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: gateway.test\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	for range 10 {
		ask()
	}
	defer leaveDescriptors(t, 2*nextDescriptor()-4)() // the upper half begins below
	if took := ask(); took > 10*time.Second {
		t.Errorf("another client waited %s", took)
	}
}
