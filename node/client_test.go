package node

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// isParked reports whether n of the node's connections are parked.
func (n *testNode) isParked(count int) func() bool {
	return func() bool {
		n.data.mu.Lock()
		defer n.data.mu.Unlock()
		return len(n.data.parked) == count
	}
}

func (n *testNode) askOn(conn net.Conn, r *bufio.Reader) {
	n.t.Helper()
	fmt.Fprintf(conn, "POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 200 {
		n.t.Fatalf("got %v, %v", resp, err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
}

// An idle connection gives up what it holds, and loses nothing by it.
func TestIdleConnectionsAreParked(t *testing.T) {
	n := start(t, streamRoutes)
	conn, r := n.dial()
	for range 2 {
		n.askOn(conn, r)
		eventually(t, "a parked connection", n.isParked(1))
		if got := n.app.Server().GetOpenConnectionsCount(); got != 0 {
			t.Errorf("fasthttp still holds %d connections", got)
		}
	}
	n.askOn(conn, r)
	n.askOn(conn, r)
	if n.hits.Load() != 4 || n.data.connections() != 1 {
		t.Errorf("the upstream got %d of 4 requests over %d connections", n.hits.Load(), n.data.connections())
	}
	eventually(t, "a parked connection", n.isParked(1))
	_ = conn.Close()
	eventually(t, "its end being noticed", func() bool { return n.data.connections() == 0 })
}

func TestIdleConnectionsOnTLSAreParked(t *testing.T) {
	n, _, _, roots := secureNode(t)
	conn, err := n.dialTLS(&tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	n.askOn(conn, r)
	eventually(t, "a parked connection", n.isParked(1))
	n.askOn(conn, r)
}

func TestParkedConnectionsEndWithTheirIdleTime(t *testing.T) {
	n := startIn(t.Context(), t, streamRoutes, "drain_delay_ms: 0, idle_timeout_ms: 1500")
	conn, r := n.dial()
	n.askOn(conn, r)
	begun := time.Now()
	if b, err := r.ReadByte(); err != io.EOF || time.Since(begun) < parkAfter {
		t.Errorf("got %q, %v after %v", b, err, time.Since(begun))
	}
}

func TestStopClosesParkedConnections(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	n := startIn(ctx, t, streamRoutes, "drain_delay_ms: 0, drain_timeout_ms: 60000")
	conn, r := n.dial()
	n.askOn(conn, r)
	eventually(t, "a parked connection", n.isParked(1))
	begun := time.Now()
	stop()
	if b, err := r.ReadByte(); err != io.EOF || time.Since(begun) > 20*time.Second {
		t.Errorf("got %q, %v after %v", b, err, time.Since(begun))
	}
}
