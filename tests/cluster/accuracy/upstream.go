package accuracy

import (
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// clock is the one clock of a run; it never goes back.
type clock struct{ epoch time.Time }

func newClock() clock { return clock{time.Now()} }

func (c clock) now() time.Duration { return time.Since(c.epoch) }

// upstream answers every request and writes down when it came: what arrives here
// was admitted. A path is a series.
type upstream struct {
	addr  string
	clock clock

	mu     sync.Mutex // guards series
	series map[string][]time.Duration
}

// newUpstream serves until the test ends.
func newUpstream(tb testing.TB, c clock) *upstream {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	u := &upstream{addr: ln.Addr().String(), clock: c, series: map[string][]time.Duration{}}
	serve(tb, ln, u.handle)
	return u
}

func (u *upstream) handle(ctx *fasthttp.RequestCtx) {
	now := u.clock.now()
	u.mu.Lock()
	path := string(ctx.Path())
	u.series[path] = append(u.series[path], now)
	u.mu.Unlock()
}

// admissions returns a copy of each series of a limit, in order of time.
func (u *upstream) admissions(l limit) [][]time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	var all [][]time.Duration
	for path, at := range u.series {
		if l.owns(path) {
			at = slices.Clone(at)
			slices.Sort(at)
			all = append(all, at)
		}
	}
	return all
}

// serve runs a server on ln until the test ends.
func serve(tb testing.TB, ln net.Listener, handler fasthttp.RequestHandler) {
	server := &fasthttp.Server{Handler: handler, NoDefaultServerHeader: true, CloseOnShutdown: true}
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(ln) }) // ends with the listener
	tb.Cleanup(func() {
		_ = server.Shutdown()
		running.Wait()
	})
}
