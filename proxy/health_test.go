package proxy

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ward is a network of upstreams without wires: what each address answers can be
// changed, and how often it was asked is known.
type ward struct {
	mu     sync.Mutex
	status map[string]int // by address; 0 refuses, -1 is silent
	asked  map[string][]string
}

func newWard(addrs ...string) *ward {
	w := &ward{status: map[string]int{}, asked: map[string][]string{}}
	for _, a := range addrs {
		w.status[a] = 200
	}
	return w
}

func (w *ward) set(addr string, status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status[addr] = status
}

func (w *ward) heads(addr string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.asked[addr]...)
}

func (w *ward) dial(_ context.Context, _, addr string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status[addr] == 0 {
		return nil, errors.New("refused")
	}
	client, server := net.Pipe()
	go w.serve(server, addr)
	return client, nil
}

func (w *ward) serve(c net.Conn, addr string) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		head, err := readHead(r)
		if err != nil {
			return
		}
		w.mu.Lock()
		w.asked[addr] = append(w.asked[addr], head)
		status := w.status[addr]
		w.mu.Unlock()
		if status < 0 {
			continue
		}
		if _, err := c.Write([]byte("HTTP/1.1 " + strconv.Itoa(status) + " X\r\nContent-Length: 0\r\n\r\n")); err != nil {
			return
		}
	}
}

const (
	wardA = "192.0.2.1:80"
	wardB = "192.0.2.2:80"
)

// checkedBackends has an upstream "users" of two addresses with health checks
// every second.
func checkedBackends(w *ward, reg prometheus.Registerer) (*Backends, *Upstream) {
	b := NewBackends(Options{
		Dial: w.dial, Registerer: reg, Rand: func() float64 { return 0.5 },
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}, nil
		},
	})
	u := b.Upstream(configFor("http://users", balance("round_robin"), func(c *UpstreamConfig) {
		c.HealthCheck = &HealthCheckConfig{Path: "/health?full", IntervalMS: 1000, TimeoutMS: 300}
		c.Breaker.Failures = 1000
	}))
	synctest.Wait()
	b.Retain([]*Upstream{u})
	return b, u
}

// end closes b and waits for the cleaners of its connection pools, which end by
// themselves.
func end(b *Backends) {
	b.Close()
	time.Sleep(3 * maxIdle)
}

// servedBy sends four requests and tells who got them.
func servedBy(t *testing.T, u *Upstream) string {
	t.Helper()
	seen := map[string]bool{}
	for range 4 {
		res, err := u.Forward(t.Context(), newExchange(t, get("/")))
		if err != nil && !errors.Is(err, ErrUpstream) {
			t.Error(err)
		}
		seen[res.Upstream] = true
	}
	var out []string
	for _, a := range []string{wardA, wardB} {
		if seen[a] {
			out = append(out, a)
		}
	}
	return strings.Join(out, " ")
}

func TestHealthChecksTakeOutAndTakeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(wardA, wardB)
		b, u := checkedBackends(w, nil)
		defer end(b)
		f := func(what string, status int, after time.Duration, want string) {
			t.Helper()
			w.set(wardA, status)
			time.Sleep(after)
			synctest.Wait()
			if got := servedBy(t, u); got != want {
				t.Errorf("%s: served by %s, want %s", what, got, want)
			}
		}
		const both = wardA + " " + wardB
		// The first round is at 0.5 s, the others follow every second.
		f("at first", 200, 2*time.Second, both)
		f("one failed check", 503, time.Second, both)
		f("two failed checks", 503, time.Second, wardB)
		f("one good check", 200, time.Second, wardB)
		f("a relapse", 404, time.Second, wardB)
		f("two good checks", 302, 2*time.Second, both)
		f("silence", -1, 3*time.Second, wardB)
		f("back again", 204, 3*time.Second, both)
		f("refused connections", 0, 2*time.Second, wardB)
	})
}

func TestHealthCheckRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(wardA, wardB)
		b, _ := checkedBackends(w, nil)
		defer end(b)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, addr := range []string{wardA, wardB} {
			heads := w.heads(addr)
			if len(heads) != 10 {
				t.Errorf("%s was asked %d times in ten seconds", addr, len(heads))
			}
			if want := "GET /health?full HTTP/1.1\nHost: users\nUser-Agent: gateway-health-check\nConnection: close\n\n"; heads[0] != want {
				t.Errorf("got %q", heads[0])
			}
		}
	})
}

func TestAllUnhealthyAreTriedAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(wardA, wardB)
		reg := prometheus.NewRegistry()
		b, u := checkedBackends(w, reg)
		defer end(b)
		w.set(wardA, 503)
		w.set(wardB, 503)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := servedBy(t, u); got != wardA+" "+wardB {
			t.Errorf("served by %q", got)
		}
		if got := metric(t, reg, "gateway_upstream_panic_picks_total"); got != 4 {
			t.Errorf("%v panic picks, want 4", got)
		}
		w.set(wardB, 200)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := servedBy(t, u); got != wardB {
			t.Errorf("served by %q, want the one that recovered", got)
		}
	})
}

// metric sums a family's values.
func metric(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func TestHealthChecksFollowTheConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(wardA, wardB)
		reg := prometheus.NewRegistry()
		b, u := checkedBackends(w, reg)
		w.set(wardA, 503)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		asked := len(w.heads(wardA))
		if metric(t, reg, "gateway_upstream_healthy") != 1 {
			t.Error("the gauge does not show one healthy of two")
		}

		// The same again: nothing is forgotten, nothing starts over.
		b.Retain([]*Upstream{b.Upstream(u.config)})
		if got := servedBy(t, u); got != wardB {
			t.Errorf("after an equal configuration served by %q", got)
		}

		// Without checks what they found no longer counts, and nobody is asked.
		without := u.config
		without.HealthCheck = nil
		other := b.Upstream(without)
		b.Retain([]*Upstream{other})
		time.Sleep(5 * time.Second) // all of the traffic has returned
		if got := servedBy(t, other); got != wardA+" "+wardB {
			t.Errorf("without checks served by %q", got)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := len(w.heads(wardA)) - asked; got != 2 {
			t.Errorf("%d more requests, want the two of servedBy alone", got)
		}
		if metric(t, reg, "gateway_upstream_healthy") != 0 {
			t.Error("the gauge outlives the checks")
		}

		b.Retain([]*Upstream{u})
		time.Sleep(time.Second)
		b.Retain(nil) // nobody names it: the checks end with it
		asked = len(w.heads(wardA))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := len(w.heads(wardA)); got != asked {
			t.Errorf("asked %d times after it was forgotten", got-asked)
		}
		end(b)
	})
}
