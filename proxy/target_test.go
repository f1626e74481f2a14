package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func backendsOf(b *Backends) string {
	var out []string
	for _, s := range b.Breakers() {
		out = append(out, s.Backend)
	}
	return strings.Join(out, " ")
}

func addrsOf(u *Upstream) string {
	var out []string
	for _, e := range *u.members[0].target.list.Load() {
		out = append(out, e.addr)
	}
	return strings.Join(out, " ")
}

func TestNamesAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{}
		n.set(nil, "192.0.2.2", "192.0.2.1")
		b := NewBackends(Options{Resolve: n.resolve})
		defer b.Close()
		u := b.Upstream(configFor("http://users:8080"))
		f := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := addrsOf(u); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		f(0, "192.0.2.1:8080 192.0.2.2:8080")
		kept := (*u.members[0].target.list.Load())[1]
		n.set(nil, "192.0.2.2", "192.0.2.3")
		f(4*time.Second, "192.0.2.1:8080 192.0.2.2:8080")
		f(time.Second, "192.0.2.2:8080 192.0.2.3:8080")
		if (*u.members[0].target.list.Load())[0] != kept {
			t.Error("an endpoint that stayed lost its state")
		}
		n.set(errors.New("no such host"))
		f(5*time.Second, "192.0.2.2:8080 192.0.2.3:8080")
		n.set(nil)
		f(5*time.Second, "192.0.2.2:8080 192.0.2.3:8080")
		n.set(nil, "2001:db8::1", "192.0.2.4", "::ffff:192.0.2.4")
		f(5*time.Second, "192.0.2.4:8080")
		n.set(nil, "2001:db8::1")
		f(5*time.Second, "[2001:db8::1]:8080")
		f(2*time.Minute, "[2001:db8::1]:8080")
		if got := backendsOf(b); got != "users:8080/[2001:db8::1]:8080" {
			t.Errorf("kept %s", got)
		}
	})
}

func TestStateOfAnAddressThatComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{}
		n.set(nil, "192.0.2.1", "192.0.2.2")
		b := NewBackends(Options{Resolve: n.resolve})
		defer b.Close()
		u := b.Upstream(configFor("http://users:8080"))
		synctest.Wait()
		first := (*u.members[0].target.list.Load())[0]
		n.set(nil, "192.0.2.2")
		time.Sleep(6 * time.Second)
		n.set(nil, "192.0.2.1", "192.0.2.2")
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if (*u.members[0].target.list.Load())[0] != first {
			t.Error("its breaker was forgotten")
		}
	})
}

func TestUpstreamDoesNotWaitForNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBackends(Options{Resolve: func(ctx context.Context, _ string) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		defer b.Close()
		start := time.Now()
		u := b.Upstream(configFor("http://users:8080", func(c *UpstreamConfig) { c.TimeoutMS = 300 }))
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %v", took)
		}
		_, err := u.Forward(t.Context(), newExchange(t, get("/")))
		if took := time.Since(start); !errors.Is(err, ErrNoBackend) || took != 300*time.Millisecond {
			t.Errorf("got %v after %v", err, took)
		}
	})
}

func TestFirstRequestsWaitForOneLookup(t *testing.T) {
	up := newBackend(t, always(ok))
	n, release := &names{}, make(chan struct{})
	n.set(nil, "127.0.0.1")
	b := newTestBackends(t, Options{Resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
		<-release
		return n.resolve(ctx, host)
	}})
	u := b.Upstream(configFor(strings.Replace(up.url, "127.0.0.1", "users", 1)))
	var wg sync.WaitGroup
	for range 5 {
		x := newExchange(t, get("/"))
		wg.Go(func() {
			if _, err := u.Forward(t.Context(), x); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	wg.Wait()
	if n.lookups() != 1 || len(up.received()) != 5 {
		t.Errorf("%d lookups, %d requests", n.lookups(), len(up.received()))
	}
}

func TestUnknownNameIsNotLookedUpPerRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{}
		n.set(errors.New("no such host"))
		b := NewBackends(Options{Resolve: n.resolve})
		defer b.Close()
		u := b.Upstream(configFor("http://users:8080"))
		synctest.Wait()
		for range 100 {
			if _, err := u.Forward(t.Context(), newExchange(t, get("/"))); !errors.Is(err, ErrNoBackend) {
				t.Fatalf("got %v", err)
			}
		}
		if n.lookups() != 1 {
			t.Errorf("%d lookups", n.lookups())
		}
	})
}

func TestRetain(t *testing.T) {
	reg := prometheus.NewRegistry()
	b := newTestBackends(t, Options{Registerer: reg})
	one, two := newBackend(t, always(ok)), newBackend(t, always(status(503)))
	keep, drop := b.Upstream(configFor(one.url)), b.Upstream(configFor(two.url, func(c *UpstreamConfig) { c.Breaker.Failures = 1 }))
	forward(t, keep, newExchange(t, get("/")))
	forward(t, drop, newExchange(t, get("/")))
	if got := backendsWithSeries(t, reg); len(got) != 2 {
		t.Errorf("got %v", got)
	}
	b.Retain([]*Upstream{keep})
	if diff := cmp.Diff([]string{one.addr}, backendsWithSeries(t, reg)); diff != "" {
		t.Error(diff)
	}
	if got := backendsOf(b); got != one.addr {
		t.Errorf("got %s", got)
	}
	if n := (*drop.members[0].target.list.Load())[0].client.ConnsCount(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	forward(t, keep, newExchange(t, get("/")))
	if one.connections() != 1 {
		t.Errorf("%d connections, want the first one to be kept", one.connections())
	}
}

// backendsWithSeries returns the values of the labels upstream and backend.
func backendsWithSeries(t *testing.T, reg *prometheus.Registry) []string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var out []string
	for _, f := range families {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if name := l.GetName(); (name == "upstream" || name == "backend") && !seen[l.GetValue()] {
					seen[l.GetValue()] = true
					out = append(out, l.GetValue())
				}
			}
		}
	}
	return out
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	up := newBackend(t, func(n int, _ string) string { return []string{"", status(503), ok}[n-1] })
	u := newTestBackends(t, Options{Registerer: reg}).Upstream(configFor(up.url, attempts(3)))
	forward(t, u, newExchange(t, get("/")))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			if value := m.GetCounter().GetValue(); value != 0 {
				got[f.GetName()+" "+m.Label[0].GetValue()] = value
			}
		}
	}
	want := map[string]float64{
		"gateway_upstream_requests_total reset": 1, "gateway_upstream_requests_total 5xx": 1,
		"gateway_upstream_requests_total 2xx": 1, "gateway_upstream_retries_total " + up.addr: 2,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTLSUpstream(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.TLS.ServerName + " " + r.Proto))
	}))
	defer s.Close()
	n := &names{}
	n.set(nil, "127.0.0.1")
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	b := newTestBackends(t, Options{Resolve: n.resolve, TLS: &tls.Config{RootCAs: roots}})
	defer b.Close()
	url := strings.Replace(s.URL, "127.0.0.1", "example.com", 1)
	for range 2 {
		x := newExchange(t, request("POST", "/", "Content-Length: 0"))
		forward(t, b.Upstream(configFor(url)), x)
		if got := string(x.Response.Body()); got != "example.com HTTP/1.1" {
			t.Errorf("got %q", got)
		}
	}
	b.Retain(nil)
}

func TestForwardAfterClose(t *testing.T) {
	up := newBackend(t, always(ok))
	b := NewBackends(Options{})
	u, named := b.Upstream(configFor(up.url)), b.Upstream(configFor("http://users"))
	b.Close()
	if _, err := u.Forward(t.Context(), newExchange(t, get("/"))); !errors.Is(err, ErrUpstream) {
		t.Errorf("got %v", err)
	}
	if _, err := named.Forward(t.Context(), newExchange(t, get("/"))); !errors.Is(err, ErrNoBackend) {
		t.Errorf("got %v", err)
	}
}
