package limiter

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
)

// slackForBusyMachines is added to every bound on real time.
const slackForBusyMachines = 40 * time.Millisecond

func writes(l *Limiter) float64 { return testutil.ToFloat64(l.metrics.writes) }

// fakeRedis listens and does with each connection what serve says.
func fakeRedis(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			all.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return ln.Addr().String()
}

// Whatever is wrong with Redis, a check takes the budget at most, is decided by
// the share, and after some of them costs nothing.
func TestFaults(t *testing.T) {
	refused := func(*testing.T) string { return "127.0.0.1:1" }
	silent := func(t *testing.T) string {
		return fakeRedis(t, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) })
	}
	closing := func(t *testing.T) string { return fakeRedis(t, func(conn net.Conn) { conn.Close() }) }
	midReply := func(t *testing.T) string {
		return fakeRedis(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 64))
			_, _ = conn.Write([]byte("*4\r\n:1\r\n"))
			conn.Close()
		})
	}
	garbage := func(t *testing.T) string {
		return fakeRedis(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 64))
			_, _ = conn.Write([]byte(strings.Repeat("no redis here\r\n", 100)))
		})
	}
	f := func(name string, addr func(*testing.T) string) {
		t.Helper()
		t.Run(name, func(t *testing.T) { checkFault(t, addr(t)) })
	}
	f("refused", refused)
	f("silent", silent)
	f("closing", closing)
	f("mid reply", midReply)
	f("garbage", garbage)
	t.Run("blackholed", func(t *testing.T) { // no answer to a dial, either
		checkFault(t, "192.0.2.1:6379", func(o *Options) {
			o.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		})
	})
}

func checkFault(t *testing.T, addr string, change ...func(*Options)) {
	l := newTest(t, func(o *Options) {
		on(addr)(o)
		for _, f := range change {
			f(o)
		}
		o.Config.BudgetMS = 10
		o.Size = func() int { return 2 }
	})
	b := []Bucket{{Limit: perSecond("r", ScopeUser, 1, 20), Key: "ann"}}
	passed := 0
	for range 30 {
		d := l.Check(t.Context(), b)
		if d.Source != SourceLocal || d.Took > l.budget+slackForBusyMachines {
			t.Errorf("got %+v, want a local decision within the budget", d)
		}
		if d.Allowed {
			passed++
		}
	}
	if passed != 10 {
		t.Errorf("admitted %d, want 10: half of the burst", passed)
	}
	if l.Mode() != ModeLocal {
		t.Errorf("mode is %s, want local", l.Mode())
	}
	before := writes(l)
	start := time.Now()
	admitted(t, l, 1000, b...)
	if took := time.Since(start); took > slackForBusyMachines {
		t.Errorf("1000 checks with the breaker open took %s", took)
	}
	if after := writes(l); after-before > 20 { // the probe may have asked
		t.Errorf("sent %v pipelines with the breaker open", after-before)
	}
}

// proxy stands between a limiter and a real server. While stalled it takes what
// comes, and passes it on, but answers nothing.
type proxy struct {
	target  string
	stalled atomic.Bool
	held    sync.RWMutex // answers about the bucket hot wait while it is locked
}

// hotKey is in what is sent about the bucket whose answers can be held. Those by which
// a connection begins, which the client may open at any time, never wait.
const hotKey = "rate:test:hot:"

func (p *proxy) serve(conn net.Conn) {
	defer conn.Close()
	up, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer up.Close()
	var all sync.WaitGroup
	var hot atomic.Bool
	all.Go(func() {
		p.pump(up, conn, func(b []byte) bool {
			hot.Store(bytes.Contains(b, []byte(hotKey)))
			return true
		})
		up.Close()
	})
	p.pump(conn, up, func([]byte) bool {
		if hot.Load() {
			p.held.RLock()
			p.held.RUnlock() //nolint:staticcheck // only waits
		}
		return !p.stalled.Load()
	})
	conn.Close()
	all.Wait()
}

// pump passes on what pass says yes to.
func (p *proxy) pump(to, from net.Conn, pass func([]byte) bool) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if !pass(buf[:n]) {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// A reply that is lost costs one charge, not more, and the limiter finds back.
func TestLostRepliesChargeOnceAndRedisReturns(t *testing.T) {
	s := miniredis.RunT(t)
	s.SetTime(time.Unix(1_800_000_000, 0))
	p := &proxy{target: s.Addr()}
	logged := &lines{}
	l := newTest(t, func(o *Options) {
		on(fakeRedis(t, p.serve))(o)
		o.Config.BudgetMS = 300
		o.Log = zerolog.New(logged)
		o.Rand = func() float64 { return 0 }
	})
	b := []Bucket{{Limit: perSecond("r", ScopeUser, 1, 100), Key: "ann"}}
	if d := l.Check(t.Context(), b); d.Source != SourceRedis || d.Remaining != 99 {
		t.Fatalf("got %+v, want 99 left by redis", d)
	}
	p.stalled.Store(true)
	for range breakerFailures {
		if d := l.Check(t.Context(), b); !d.Allowed || d.Source != SourceLocal {
			t.Errorf("got %+v, want allowed locally", d)
		}
	}
	if l.Mode() != ModeLocal {
		t.Fatal("the breaker is closed after five lost replies")
	}
	p.stalled.Store(false)
	waitFor(t, func() bool { return l.Mode() == ModeRedis })
	d := l.Check(t.Context(), b)
	if want := 99 - breakerFailures - 1; d.Source != SourceRedis || d.Remaining < want {
		t.Errorf("got %+v, want at least %d left: one charge for each lost reply", d, want)
	}
	for _, want := range []string{"limiter: redis lost, limiting locally", "limiter: redis back"} {
		if n := strings.Count(logged.String(), want); n != 1 {
			t.Errorf("logged %q %d times, want once:\n%s", want, n, logged)
		}
	}
}

// waitFor polls until ok, which is the only thing a test can do with a
// goroutine that waits for the network.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("did not happen within 10s")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestCallerThatLeavesIsNoFault(t *testing.T) {
	s := miniredis.RunT(t)
	p := &proxy{target: s.Addr()}
	l := newTest(t, on(fakeRedis(t, p.serve)))
	b := []Bucket{{Limit: perSecond("r", ScopeUser, 1, 100), Key: "ann"}}
	admitted(t, l, 1, b...)
	p.stalled.Store(true)
	for range 2 * breakerFailures {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if d := l.Check(ctx, b); !d.Allowed || d.Source != SourceLocal {
			t.Errorf("got %+v, want allowed locally", d)
		}
		cancel()
	}
	if l.Mode() != ModeRedis {
		t.Error("the breaker opened because callers left")
	}
}

func TestDialOption(t *testing.T) {
	var dials atomic.Int64
	l := newTest(t, func(o *Options) {
		on("redis.invalid:6379")(o)
		o.Dial = func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			return nil, errors.New("no way")
		}
	})
	admitted(t, l, 1, Bucket{Limit: perSecond("r", ScopeUser, 1, 1)})
	if dials.Load() == 0 {
		t.Error("the option was not used")
	}
}

func TestCheckAfterClose(t *testing.T) {
	s := newServer(t)
	o := Options{Config: DefaultConfig()}
	on(s.Addr())(&o)
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if d := l.Check(t.Context(), []Bucket{{Limit: perSecond("r", ScopeUser, 1, 1)}}); !d.Allowed || d.Source != SourceLocal {
		t.Errorf("got %+v, want allowed locally", d)
	}
}

// A connection that Redis refuses is no answer: else the probe would succeed and
// debts count as paid.
func TestWrongPasswordIsNoAnswer(t *testing.T) {
	s := newServer(t)
	s.RequireAuth("right")
	l := newQuiet(t, s, func(o *Options) { o.Config.Password = "wrong" })
	for range 2 {
		if err := l.remote.probe(t.Context()); err == nil || isTimeout(err) {
			t.Errorf("the probe says %v, want that the password is wrong", err)
		}
	}
}

// What does not heal by itself is told once an outage, and without the password.
func TestCauseIsTold(t *testing.T) {
	s := miniredis.RunT(t)
	s.SetError("WRONGPASS invalid username-password pair or user is disabled.")
	logged := &lines{}
	l := newTest(t, func(o *Options) {
		on(s.Addr())(o)
		o.Config.Password = "wrong-password"
		o.Log = zerolog.New(logged)
		o.Rand = func() float64 { return 0 }
	})
	b := Bucket{Limit: perSecond("r", ScopeUser, 1, 100), Key: "ann"}
	admitted(t, l, 2*breakerFailures, b)
	waitFor(t, func() bool { return strings.Contains(logged.String(), "limiter: cannot use redis") })
	s.SetError("")
	waitFor(t, func() bool { return l.Mode() == ModeRedis })
	if text := logged.String(); strings.Count(text, "WRONGPASS") != 1 || strings.Contains(text, "wrong-password") {
		t.Errorf("the log holds:\n%s", text)
	}
}
