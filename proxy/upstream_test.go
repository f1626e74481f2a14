package proxy

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

func several(urls ...WeightedURL) func(*UpstreamConfig) {
	return func(c *UpstreamConfig) { c.URL, c.Upstreams = "", urls }
}

// Each of several upstreams gets its own path, Host and share.
func TestSeveralUpstreams(t *testing.T) {
	a, b := newBackend(t, always(ok)), newBackend(t, always(ok))
	u := newTestBackends(t, Options{}).Upstream(configFor("", balance("round_robin"),
		several(WeightedURL{a.url + "/v1", 3}, WeightedURL{b.url, 1})))
	for range 8 {
		forward(t, u, newExchange(t, get("/x?q=1")))
	}
	if len(a.received()) != 6 || len(b.received()) != 2 {
		t.Errorf("got %d and %d requests, want 6 and 2", len(a.received()), len(b.received()))
	}
	for backend, want := range map[*backend]string{a: "GET /v1/x?q=1 HTTP/1.1\nHost: " + a.addr, b: "GET /x?q=1 HTTP/1.1\nHost: " + b.addr} {
		if got := backend.last(t); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The request that failed at one upstream is made anew for the other.
func TestRetryAtAnotherUpstream(t *testing.T) {
	a, b := newBackend(t, always(status(503))), newBackend(t, always(ok))
	u := newTestBackends(t, Options{}).Upstream(configFor("", balance("round_robin"), attempts(1),
		several(WeightedURL{a.url + "/v1", 1}, WeightedURL{b.url + "/v2", 1})))
	for range 4 {
		x := newExchange(t, get("/x?q=1"))
		if forward(t, u, x); x.Response.StatusCode() != 200 {
			t.Errorf("got %d", x.Response.StatusCode())
		}
	}
	for _, head := range b.received() {
		if !strings.HasPrefix(head, "GET /v2/x?q=1 HTTP/1.1\nHost: "+b.addr) {
			t.Errorf("got %q", head)
		}
	}
}

func TestSameKeySameEndpoint(t *testing.T) {
	a, b := newBackend(t, always(ok)), newBackend(t, always(ok))
	u := newTestBackends(t, Options{}).Upstream(configFor("", balance("hash"), func(c *UpstreamConfig) { c.HashBy = "user" },
		several(WeightedURL{a.url, 1}, WeightedURL{b.url, 1})))
	used := map[string]string{}
	for _, user := range []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "alice", "bob", "carol"} {
		x := newExchange(t, get("/"))
		x.User = user
		res := forward(t, u, x)
		if before := used[user]; before != "" && before != res.Upstream {
			t.Errorf("%s went from %s to %s", user, before, res.Upstream)
		}
		used[user] = res.Upstream
	}
	if len(a.received()) == 0 || len(b.received()) == 0 {
		t.Errorf("got %d and %d requests", len(a.received()), len(b.received()))
	}
}

// hold answers only once it is released.
func hold(t *testing.T) (*backend, func()) {
	t.Helper()
	release := make(chan struct{})
	up := newBackend(t, func(int, string) string { <-release; return ok })
	return up, sync.OnceFunc(func() { close(release) })
}

func TestConnectionsOfAnEndpointAreBounded(t *testing.T) {
	up, release := hold(t)
	defer release()
	b := newTestBackends(t, Options{})
	u := b.Upstream(configFor(up.url, func(c *UpstreamConfig) { c.Connections = &ConnectionsConfig{Max: 2, WaitMS: 10} }))
	b.Retain([]*Upstream{u})
	var wg sync.WaitGroup
	for range 2 {
		x := newExchange(t, get("/"))
		wg.Go(func() {
			if _, err := u.Forward(t.Context(), x); err != nil {
				t.Error(err)
			}
		})
	}
	e := (*u.members[0].target.list.Load())[0]
	for e.gate.inside.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	if _, err := u.Forward(t.Context(), newExchange(t, get("/"))); !errors.Is(err, ErrNoBackend) {
		t.Errorf("got %v, want no backend", err)
	}
	// One that waits is served by who is done.
	b.Retain([]*Upstream{b.Upstream(configFor(up.url, func(c *UpstreamConfig) { c.Connections = &ConnectionsConfig{Max: 2, WaitMS: 60_000} }))})
	x := newExchange(t, get("/"))
	wg.Go(func() {
		if _, err := u.Forward(t.Context(), x); err != nil {
			t.Error(err)
		}
	})
	for e.gate.waiting.Load() < 1 {
		time.Sleep(time.Millisecond)
	}
	release()
	wg.Wait()
	if up.connections() != 2 || e.gate.inside.Load() != 0 {
		t.Errorf("%d connections were opened, %d are in use", up.connections(), e.gate.inside.Load())
	}
}

func TestFullEndpointIsLeftToOthers(t *testing.T) {
	up, release := hold(t)
	defer release()
	other := newBackend(t, always(ok))
	b := newTestBackends(t, Options{Rand: func() float64 { return 0 }}) // the first is the first
	u := b.Upstream(configFor("", balance("round_robin"), several(WeightedURL{up.url, 1}, WeightedURL{other.url, 1}),
		func(c *UpstreamConfig) { c.Connections = &ConnectionsConfig{Max: 1, WaitMS: 60_000} }))
	b.Retain([]*Upstream{u})
	x := newExchange(t, get("/"))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer release()
	wg.Go(func() { _, _ = u.Forward(t.Context(), x) })
	for !u.view().slots[0].gate.full() {
		time.Sleep(time.Millisecond)
	}
	for range 5 {
		if res := forward(t, u, newExchange(t, get("/"))); res.Upstream != other.addr {
			t.Errorf("went to %s", res.Upstream)
		}
	}
}

func TestPreserveHost(t *testing.T) {
	up := newBackend(t, always(ok))
	f := func(preserve bool, host, want string) {
		t.Helper()
		u := newTestBackends(t, Options{}).Upstream(configFor(up.url, func(c *UpstreamConfig) { c.PreserveHost = preserve }))
		x := newExchange(t, get("/"))
		x.Host = host
		forward(t, u, x)
		if got := field(up.last(t), "Host"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(false, "shop.example", up.addr)
	f(true, "Shop.example:8443", "Shop.example:8443")
	f(true, "us:pw@shop.example", "us:pw@shop.example")
	f(true, "", up.addr)
}

func TestRequestHeaderRules(t *testing.T) {
	up := newBackend(t, always(ok))
	u := newTestBackends(t, Options{}).Upstream(configFor(up.url, func(c *UpstreamConfig) {
		c.RequestHeaders = HeaderRules{
			Set:    map[string]string{"X-Tenant": "blue", "Authorization": "Basic eA=="},
			Add:    map[string]string{"Via": "1.1 gateway"},
			Remove: []string{"Cookie", "X-Debug"},
		}
	}))
	forward(t, u, newExchange(t, get("/", "X-Tenant: red", "x_tenant: red", "Connection: X-Tenant", "Authorization: Bearer t",
		"Cookie: a=b", "X-Debug: 1", "X_Debug: 1", "Via: 1.0 old")))
	head := up.last(t)
	for _, bad := range []string{"red", "Bearer", "a=b", "ebug", "x_"} {
		if strings.Contains(head, bad) {
			t.Errorf("%q is in %q", bad, head)
		}
	}
	for _, good := range []string{"X-Tenant: blue\n", "Authorization: Basic eA==\n", "Via: 1.0 old\n", "Via: 1.1 gateway\n"} {
		if strings.Count(head, good) != 1 {
			t.Errorf("%q is not in %q", good, head)
		}
	}
}
