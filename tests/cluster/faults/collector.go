package faults

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/go-api-gateway-pro/gateway/tests/cluster/rig"
)

// collector takes traces, until it is told to keep who sends them waiting.
type collector struct {
	addr    string
	hanging atomic.Bool
	spans   atomic.Int64 // posts, to be exact
}

// newCollector serves until the test ends.
func newCollector(tb testing.TB, port int) *collector {
	tb.Helper()
	c := &collector{addr: rig.Loopback(port)}
	ln, err := net.Listen("tcp", c.addr)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c.spans.Add(1)
		if c.hanging.Load() {
			select {
			case <-r.Context().Done():
			case <-ctx.Done():
			}
		}
	})}
	go func() { _ = server.Serve(ln) }() // ends when closed
	tb.Cleanup(func() {
		cancel()
		_ = server.Close()
	})
	return c
}
