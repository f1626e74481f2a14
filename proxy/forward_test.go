package proxy

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

func status(code int) string {
	return "HTTP/1.1 " + strconv.Itoa(code) + " X\r\nContent-Length: 1\r\n\r\nx"
}

// closedAddr is an address nobody listens on.
func closedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestRetry(t *testing.T) {
	f := func(method string, tries int, answers []string, wantStatus int, wantErr error, wantSent int) {
		t.Helper()
		up := newBackend(t, func(n int, _ string) string { return answers[min(n, len(answers))-1] })
		x := newExchange(t, request(method, "/", "Content-Length: 0"))
		_, err := newTestBackends(t, Options{}).Upstream(configFor(up.url, attempts(tries))).Forward(t.Context(), x)
		if !errors.Is(err, wantErr) || err == nil && x.Response.StatusCode() != wantStatus {
			t.Errorf("%s %q: got %d, %v", method, answers, x.Response.StatusCode(), err)
		}
		if got := len(up.received()); got != wantSent {
			t.Errorf("%s %q: sent %d times, want %d", method, answers, got, wantSent)
		}
	}
	f("GET", 3, []string{status(503), status(502), ok}, 200, nil, 3)
	f("GET", 2, []string{status(503)}, 503, nil, 3)
	f("GET", 0, []string{status(503), ok}, 503, nil, 1)
	f("GET", 3, []string{status(500), ok}, 500, nil, 1)
	f("GET", 3, []string{"", "", ok}, 200, nil, 3)
	f("GET", 1, []string{""}, 0, ErrUpstream, 2)
	f("GET", 0, []string{"", ok}, 0, ErrUpstream, 1)
	f("HEAD", 1, []string{status(504), "HTTP/1.1 200 OK\r\n\r\n"}, 200, nil, 2)
	f("OPTIONS", 1, []string{status(503), ok}, 200, nil, 2)
	f("PUT", 1, []string{"", ok}, 200, nil, 2)
	f("DELETE", 1, []string{"", ok}, 200, nil, 2)
	f("POST", 3, []string{status(503), ok}, 503, nil, 1)
	f("POST", 3, []string{"", ok}, 0, ErrUpstream, 1)
	f("PATCH", 3, []string{"", ok}, 0, ErrUpstream, 1)
	f("GET", 3, []string{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nx"}, 0, ErrUpstream, 1)
	f("GET", 3, []string{"nonsense\r\n\r\n"}, 0, ErrUpstream, 1)
	f("GET", 3, []string{"HTTP/1.1 101 Switching Protocols\r\n\r\n"}, 0, ErrUpstream, 1)
}

func TestRefusedConnectionIsRetriedForAnyMethod(t *testing.T) {
	var dials atomic.Int32
	up := newBackend(t, always(ok))
	b := newTestBackends(t, Options{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials.Add(1) < 3 {
			return nil, errors.New("refused")
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}})
	x := newExchange(t, request("POST", "/", "Content-Length: 0"))
	res := forward(t, b.Upstream(configFor(up.url, attempts(2))), x)
	if res.Tries != 3 || len(up.received()) != 1 || res.Upstream != up.addr {
		t.Errorf("got %+v, sent %d times", res, len(up.received()))
	}
}

func TestResultOfFailure(t *testing.T) {
	addr := closedAddr(t)
	x := newExchange(t, get("/"))
	res, err := newTestBackends(t, Options{}).Upstream(configFor("http://"+addr)).Forward(t.Context(), x)
	if !errors.Is(err, ErrUpstream) || res != (Result{Upstream: addr, Tries: 1}) {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestErrorsDoNotQuoteTheResponse(t *testing.T) {
	up := newBackend(t, always("HTTP/1.1 200 OK\r\nSet-Cookie: secret\r\nbroken line\r\n\r\n"))
	x := newExchange(t, get("/"))
	_, err := newTestBackends(t, Options{}).Upstream(configFor(up.url)).Forward(t.Context(), x)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

// twoEndpoints is a name that leads to both addresses; dial leads them to the backends.
func twoEndpoints(t *testing.T, first, second string, o Options) *Backends {
	t.Helper()
	n := &names{}
	n.set(nil, "192.0.2.1", "192.0.2.2")
	o.Resolve = n.resolve
	o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		to := map[string]string{"192.0.2.1:80": first, "192.0.2.2:80": second}[addr]
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}
	return newTestBackends(t, o)
}

func TestRetryGoesToTheOtherEndpoint(t *testing.T) {
	good, bad := newBackend(t, always(ok)), newBackend(t, always(status(503)))
	b := twoEndpoints(t, good.addr, bad.addr, Options{})
	u := b.Upstream(configFor("http://users", attempts(1), func(c *UpstreamConfig) { c.Breaker.Failures = 100 }))
	for range 10 {
		x := newExchange(t, get("/"))
		if forward(t, u, x); x.Response.StatusCode() != 200 {
			t.Fatalf("got %d", x.Response.StatusCode())
		}
	}
	if len(bad.received()) == 0 || len(good.received()) != 10 {
		t.Errorf("bad got %d, good %d", len(bad.received()), len(good.received()))
	}
}

func balance(policy string) func(*UpstreamConfig) {
	return func(c *UpstreamConfig) { c.Balance = policy }
}

func TestRoundRobin(t *testing.T) {
	one, two := newBackend(t, always(ok)), newBackend(t, always(ok))
	u := twoEndpoints(t, one.addr, two.addr, Options{}).Upstream(configFor("http://users", balance("round_robin")))
	for range 10 {
		forward(t, u, newExchange(t, get("/")))
	}
	if len(one.received()) != 5 || len(two.received()) != 5 {
		t.Errorf("got %d and %d", len(one.received()), len(two.received()))
	}
}

func TestStaleConnection(t *testing.T) {
	f := func(method string) {
		t.Helper()
		up := newBackend(t, always(ok))
		u := newTestBackends(t, Options{}).Upstream(configFor(up.url))
		for range 5 {
			x := newExchange(t, request(method, "/", "Content-Length: 0"))
			if res := forward(t, u, x); res.Tries != 1 || x.Response.StatusCode() != 200 {
				t.Errorf("%s: got %+v, %d", method, res, x.Response.StatusCode())
			}
			up.hangUp()
		}
		if got := len(up.received()); got != 5 {
			t.Errorf("%s: sent %d times, want 5", method, got)
		}
	}
	f("GET")
	f("POST")
	f("PATCH")
}

func TestPostOnAConnectionThatBreaksIsSentOnce(t *testing.T) {
	up := newBackend(t, func(n int, _ string) string {
		if n == 1 {
			return ok
		}
		return ""
	})
	b := newTestBackends(t, Options{})
	u := b.Upstream(configFor(up.url, attempts(3), func(c *UpstreamConfig) { c.Breaker.Failures = 1 }))
	forward(t, u, newExchange(t, get("/")))
	_, err := u.Forward(t.Context(), newExchange(t, request("POST", "/", "Content-Length: 0")))
	if !errors.Is(err, ErrUpstream) || len(up.received()) != 2 {
		t.Errorf("got %v, sent %d times", err, len(up.received()))
	}
}

func TestBytesAfterTheResponseAreNotTheNextOne(t *testing.T) {
	up := newBackend(t, func(n int, _ string) string {
		if n == 1 {
			return ok + status(418)
		}
		return ok
	})
	u := newTestBackends(t, Options{}).Upstream(configFor(up.url))
	for range 2 {
		x := newExchange(t, get("/"))
		if forward(t, u, x); x.Response.StatusCode() != 200 {
			t.Errorf("got %d", x.Response.StatusCode())
		}
	}
}

// silent accepts connections and never answers.
func silent(t *testing.T) string {
	t.Helper()
	stop := make(chan struct{})
	up := newBackend(t, func(int, string) string { <-stop; return "" })
	t.Cleanup(func() { close(stop) })
	return up.url
}

func TestTimeout(t *testing.T) {
	url := silent(t)
	f := func(what string, prepare func(*UpstreamConfig, *Exchange) context.Context) {
		t.Helper()
		c, x := configFor(url, attempts(3)), newExchange(t, get("/"))
		ctx := prepare(&c, x)
		within(t, 2*time.Second, func() {
			res, err := newTestBackends(t, Options{}).Upstream(c).Forward(ctx, x)
			if !errors.Is(err, ErrTimeout) || res.Tries > 1 {
				t.Errorf("%s: got %+v, %v", what, res, err)
			}
		})
	}
	f("timeout_ms", func(c *UpstreamConfig, _ *Exchange) context.Context {
		c.TimeoutMS = 50
		return t.Context()
	})
	f("deadline", func(_ *UpstreamConfig, x *Exchange) context.Context {
		x.Deadline = time.Now().Add(50 * time.Millisecond)
		return t.Context()
	})
	f("context", func(*UpstreamConfig, *Exchange) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	})
	f("deadline in the past", func(_ *UpstreamConfig, x *Exchange) context.Context {
		x.Deadline = time.Now().Add(-time.Second)
		return t.Context()
	})
}

func TestTimeoutCoversTLSHandshake(t *testing.T) {
	url := strings.Replace(silent(t), "http:", "https:", 1)
	u := newTestBackends(t, Options{}).Upstream(configFor(url, func(c *UpstreamConfig) { c.TimeoutMS = 50 }))
	within(t, 2*time.Second, func() {
		if _, err := u.Forward(t.Context(), newExchange(t, get("/"))); !errors.Is(err, ErrTimeout) {
			t.Errorf("got %v", err)
		}
	})
}

func TestBackoff(t *testing.T) {
	up := newBackend(t, always(status(503)))
	f := func(random float64, backoffMS, timeoutMS, wantTries int) {
		t.Helper()
		u := newTestBackends(t, Options{Rand: func() float64 { return random }}).Upstream(configFor(up.url, attempts(3),
			func(c *UpstreamConfig) { c.Retry.BackoffMS, c.TimeoutMS = backoffMS, timeoutMS }))
		x := newExchange(t, get("/"))
		within(t, 2*time.Second, func() {
			if res := forward(t, u, x); res.Tries != wantTries || x.Response.StatusCode() != 503 {
				t.Errorf("got %+v, %d, want %d tries", res, x.Response.StatusCode(), wantTries)
			}
		})
	}
	f(0, 60_000, 3000, 4)   // drawn from zero
	f(0.9, 60_000, 3000, 1) // the wait would pass the deadline: the answer at hand is given
}

func TestContextEndsTheWait(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	up := newBackend(t, func(int, string) string { cancel(); return status(503) })
	u := newTestBackends(t, Options{Rand: func() float64 { return 0.9 }}).Upstream(configFor(up.url, attempts(3),
		func(c *UpstreamConfig) { c.Retry.BackoffMS = 4000 }))
	x := newExchange(t, get("/"))
	within(t, 2*time.Second, func() {
		if res, err := u.Forward(ctx, x); err != nil || res.Tries != 1 || x.Response.StatusCode() != 503 {
			t.Errorf("got %+v, %v", res, err)
		}
	})
}

// clock is a time that only moves when told.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestBreakerOpensAndCloses(t *testing.T) {
	c := &clock{now: time.Unix(1000, 0)}
	var healthy atomic.Bool
	up := newBackend(t, func(int, string) string {
		if healthy.Load() {
			return ok
		}
		return status(503)
	})
	b := newTestBackends(t, Options{Now: c.read})
	config := configFor(up.url)
	try := func(wantErr error, wantState string) {
		t.Helper()
		// A new upstream every time, as after a reload: the breaker must survive.
		_, err := b.Upstream(config).Forward(t.Context(), newExchange(t, get("/")))
		if !errors.Is(err, wantErr) || b.Breakers()[0].State != wantState {
			t.Fatalf("got %v in state %+v, want %v, %s", err, b.Breakers(), wantErr, wantState)
		}
	}
	for range 4 {
		try(nil, "closed")
	}
	try(nil, "open")
	try(ErrOpen, "open")
	if got := len(up.received()); got != 5 {
		t.Errorf("the upstream got %d requests, want 5", got)
	}
	_, err := b.Upstream(config).Forward(t.Context(), newExchange(t, get("/")))
	var openErr *OpenError
	if !errors.As(err, &openErr) || openErr.RetryAfter != 5*time.Second {
		t.Errorf("got %v, want to retry after 5s", err)
	}
	c.advance(5 * time.Second)
	try(nil, "open") // the trial fails
	healthy.Store(true)
	try(ErrOpen, "open")
	c.advance(5 * time.Second)
	try(nil, "closed")
	if s := b.Breakers()[0]; s.Backend != up.addr || !s.Since.Equal(time.Unix(1010, 0)) {
		t.Errorf("got %+v", s)
	}
}

func TestOpenEndpointIsLeftOut(t *testing.T) {
	good, bad := newBackend(t, always(ok)), newBackend(t, always(status(502)))
	c := &clock{now: time.Unix(1000, 0)}
	u := twoEndpoints(t, good.addr, bad.addr, Options{Now: c.read}).Upstream(configFor("http://users", attempts(1)))
	for range 50 {
		x := newExchange(t, get("/"))
		if forward(t, u, x); x.Response.StatusCode() != 200 {
			t.Fatalf("got %d", x.Response.StatusCode())
		}
	}
	if got := len(bad.received()); got != 5 {
		t.Errorf("the failing endpoint got %d requests, want 5", got)
	}
}

func TestClientStatusesDoNotCount(t *testing.T) {
	up := newBackend(t, always(status(500)))
	b := newTestBackends(t, Options{})
	u := b.Upstream(configFor(up.url))
	for range 10 {
		forward(t, u, newExchange(t, get("/")))
	}
	if s := b.Breakers()[0]; s.State != "closed" {
		t.Errorf("got %+v", s)
	}
}

func TestRequestBodyIsSentAgain(t *testing.T) {
	up := newBackend(t, func(n int, _ string) string {
		if n == 1 {
			return ""
		}
		return ok
	})
	u := newTestBackends(t, Options{}).Upstream(configFor(up.url, attempts(1)))
	forward(t, u, newExchange(t, "PUT /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-A: 1\r\n\r\nhello"))
	got := up.received()
	if len(got) != 2 || got[0] != got[1] || !strings.HasSuffix(got[1], "\n\nhello") {
		t.Errorf("got %q", got)
	}
}

func TestForwardDoesNotAllocate(t *testing.T) {
	u, x, refill := benchmarkUpstream(t)
	n := testing.AllocsPerRun(200, func() {
		refill()
		if _, err := u.Forward(context.Background(), x); err != nil {
			t.Fatal(err)
		}
	})
	if n > 4 {
		t.Errorf("%v allocations per request with its upstream, want at most 4", n)
	}
}

func BenchmarkForward(b *testing.B) {
	u, x, refill := benchmarkUpstream(b)
	b.ReportAllocs()
	for b.Loop() {
		refill()
		if _, err := u.Forward(context.Background(), x); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkUpstream returns an upstream in memory and an exchange that refill
// turns back into what a client sent.
func benchmarkUpstream(t testing.TB) (*Upstream, *Exchange, func()) {
	l := fasthttputil.NewInmemoryListener()
	server := &fasthttp.Server{NoDefaultDate: true, Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("ok") }}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	b := NewBackends(Options{Dial: func(context.Context, string, string) (net.Conn, error) { return l.Dial() }})
	t.Cleanup(func() {
		b.Close()
		_ = l.Close()
		<-done
	})
	x := newExchange(t, get("/api/users/1?a=b", "User-Agent: curl/8", "Accept: */*", "Authorization: Bearer abc", "Connection: keep-alive"))
	x.RequestID = "0123456789abcdef"
	x.Headers = []Header{{"X-User-ID", "alice"}}
	original := &fasthttp.Request{}
	x.Request.CopyTo(original)
	return b.Upstream(configFor("http://10.0.0.1:8080")), x, func() { original.CopyTo(x.Request) }
}
