package cluster

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// The first probe of what no node's own threshold opened comes after a tenth of
// open_ms, the next ones after all of it.
const guarded = `
server: {host: 127.0.0.1, port: 0, drain_delay_ms: 0, drain_timeout_ms: 5000}
admin: {port: 0, token: "a-token-for-the-tests"}
cluster: {bind: "${BIND}", join: ["${JOIN:-}"]}
log: {access: "off"}
routes:
  - {path: "/*", upstream: "${UPSTREAM}", breaker: {failures: 5, open_ms: "${OPEN_MS}"}}
`

// halfOpen is the gauge of a breaker that keeps requests back, if it is not more.
const halfOpen = "2"

// fleet is a number of nodes and one backend, which may be dead for all, for one
// node, or for the errors'th request.
type fleet struct {
	*trio

	dead    atomic.Bool
	cutOff  atomic.Pointer[string] // the data address of a node
	errors  atomic.Int64           // every n'th request fails; 0: none
	missed  atomic.Int64           // requests that failed
	backend string
}

func startFleet(t *testing.T, n, openMS int) *fleet {
	t.Helper()
	f := &fleet{trio: &trio{t: t}}
	f.upstream = httptest.NewServer(http.HandlerFunc(f.answer))
	t.Cleanup(f.upstream.Close)
	f.backend = strings.TrimPrefix(f.upstream.URL, "http://")
	binds := make([]string, n)
	for i, port := range harness.Ports(t, n) {
		binds[i] = loopback(port)
	}
	for i := range binds {
		f.nodes = append(f.nodes, f.run(i, guarded, map[string]string{
			"BIND": binds[i], "UPSTREAM": f.upstream.URL, "JOIN": binds[0], "OPEN_MS": fmt.Sprint(openMS),
		}))
	}
	f.eventually("all members on every node", func() bool {
		return !slices.ContainsFunc(f.nodes, func(m *member) bool {
			return f.metric(m, "gateway_cluster_members") != fmt.Sprint(n)
		})
	})
	return f
}

// answer knows the node by the host that its client asked for.
func (f *fleet) answer(w http.ResponseWriter, r *http.Request) {
	n := f.hits.Add(1)
	every, cut := f.errors.Load(), f.cutOff.Load()
	if f.dead.Load() || cut != nil && r.Header.Get("X-Forwarded-Host") == *cut || every > 0 && n%every == 0 {
		f.missed.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (f *fleet) metric(m *member, name string) string { return f.trio.metric(m, name) }

// open counts the nodes that hold the backend open.
func (f *fleet) open() int {
	count := 0
	for _, m := range f.nodes {
		if f.metric(m, fmt.Sprintf("gateway_breaker_state{backend=%q}", f.backend)) >= halfOpen {
			count++
		}
	}
	return count
}

// die lets the backend die while one client asks one node after the other, until
// all have it open. It returns the failures.
func (f *fleet) die(pause time.Duration) int64 {
	f.t.Helper()
	f.dead.Store(true)
	for i := range 30 * len(f.nodes) {
		f.get(f.nodes[i%len(f.nodes)], "/")
		time.Sleep(pause)
		if f.open() == len(f.nodes) {
			return f.missed.Load()
		}
	}
	f.t.Fatalf("only %d of %d nodes hold it open", f.open(), len(f.nodes))
	return 0
}

// spread is the time from the first node's opening to the last one's, as their
// logs tell it, to the millisecond.
func (f *fleet) spread() time.Duration {
	f.t.Helper()
	var first, last time.Time
	for _, m := range f.nodes {
		var at time.Time
		f.eventually(m.Name()+" logs that it opened", func() bool {
			at = opened(m.logs.String())
			return !at.IsZero()
		})
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	return last.Sub(first)
}

// opened returns the time of the first line that tells of an open breaker.
func opened(log string) time.Time {
	for line := range strings.Lines(log) {
		var entry struct {
			Time           time.Time
			Message, State string
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Message == "breaker changed" && entry.State == "open" {
			return entry.Time
		}
	}
	return time.Time{}
}

// A dead backend costs the cluster what it costs a node, not that times the nodes.
func TestDeadBackendCostsFewFailures(t *testing.T) {
	for _, c := range []struct{ nodes, most int }{{3, 7}, {9, 18}} {
		t.Run(fmt.Sprint(c.nodes), func(t *testing.T) {
			f := startFleet(t, c.nodes, 60_000)
			failures := f.die(50 * time.Millisecond) // the word needs a moment on a busy machine
			spread := f.spread()
			t.Logf("%d nodes: %d failures (independent: %d), %v from the first to all open", c.nodes, failures, 5*c.nodes, spread)
			if failures > int64(c.most) {
				t.Errorf("%d failures, want at most %d", failures, c.most)
			}
			if spread > 500*time.Millisecond {
				t.Errorf("%v from the first to all open, want at most 500ms", spread)
			}
		})
	}
}

// Many requests at once: those in flight fail too, and no others.
func TestDeadBackendUnderLoad(t *testing.T) {
	f := startFleet(t, 3, 60_000)
	const clients = 8
	var wg sync.WaitGroup
	var stop atomic.Bool
	for i := range clients {
		wg.Go(func() {
			for !stop.Load() {
				resp, err := http.Get("http://" + f.nodes[i%3].Addr() + "/")
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
	f.eventually("some traffic", func() bool { return f.hits.Load() > 100 })
	f.dead.Store(true)
	f.eventually("all open", func() bool { return f.open() == 3 })
	stop.Store(true)
	wg.Wait()
	// Until the word is there every client may fail once more.
	failures := f.missed.Load()
	t.Logf("%d failures with %d requests in flight (independent: 15 + in flight)", failures, clients)
	if failures > 7+2*clients {
		t.Errorf("%d failures, want at most 7, %d in flight and as many begun meanwhile", failures, clients)
	}
}

// A node that cannot reach the backend, and one error in a hundred for the
// others, do not take it away from them.
func TestCutOffNodeTakesNothingAway(t *testing.T) {
	f := startFleet(t, 3, 1000)
	addr := f.nodes[2].Addr()
	f.cutOff.Store(&addr)
	f.errors.Store(100)
	refused, asked, shut, samples := 0, 0, 0, 0
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); {
		for i, m := range f.nodes {
			before := f.hits.Load()
			if f.get(m, "/"); i < 2 {
				asked++
				if f.hits.Load() == before {
					refused++
				}
			}
		}
		if asked%20 == 0 {
			samples++
			for _, m := range f.nodes[:2] {
				if f.metric(m, fmt.Sprintf("gateway_breaker_state{backend=%q}", f.backend)) >= halfOpen {
					shut++
				}
			}
		}
	}
	t.Logf("%d of %d requests of the two healthy nodes refused; open in %d of %d samples", refused, asked, shut, 2*samples)
	if refused*100 > asked || shut*100 > 2*samples {
		t.Errorf("refused %d of %d, open in %d of %d samples, want at most 1 %%", refused, asked, shut, 2*samples)
	}
	if got := f.metric(f.nodes[2], fmt.Sprintf("gateway_breaker_state{backend=%q}", f.backend)); got < halfOpen {
		t.Error("the node that is cut off goes on trying")
	}
}

// While nobody uses it, a dead backend sees one probe in each interval.
func TestOneProbeForTheCluster(t *testing.T) {
	const openFor = 500 * time.Millisecond
	f := startFleet(t, 3, int(openFor/time.Millisecond))
	f.die(0)
	began, before := time.Now(), f.missed.Load()
	for time.Since(began) < 6*openFor {
		for _, m := range f.nodes {
			f.get(m, "/")
		}
	}
	// One more for the first, which is early, and one for a begun interval.
	probes, most := f.missed.Load()-before, int64(time.Since(began)/openFor)+2
	t.Logf("%d probes in %v by three nodes (independent: %d)", probes, time.Since(began), 3*6)
	if probes > most || probes < 3 {
		t.Errorf("%d probes, want 3 to %d", probes, most)
	}
	f.dead.Store(false)
	f.eventually("its return", func() bool {
		for _, m := range f.nodes {
			f.get(m, "/")
		}
		return f.open() == 0
	})
}

// An operator's word to one node holds on all, until it is taken back on another.
func TestOverrideHoldsForTheCluster(t *testing.T) {
	f := startFleet(t, 3, 1000)
	post := func(m *member, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+m.AdminAddr()+"/cluster/breakers", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer a-token-for-the-tests")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text)
	}
	if status, text := post(f.nodes[0], fmt.Sprintf(`{"backend": %q, "state": "open", "for_s": 600}`, f.backend)); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	f.eventually("refusals on every node", func() bool {
		return !slices.ContainsFunc(f.nodes, func(m *member) bool { return f.get(m, "/") != http.StatusServiceUnavailable })
	})
	hits := f.hits.Load()
	f.get(f.nodes[1], "/")
	if f.hits.Load() != hits {
		t.Error("the backend is asked all the same")
	}
	if status, text := post(f.nodes[1], fmt.Sprintf(`{"backend": %q, "state": "auto"}`, f.backend)); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	f.eventually("answers on every node", func() bool {
		return !slices.ContainsFunc(f.nodes, func(m *member) bool { return f.get(m, "/") != http.StatusOK })
	})
	if status, text := post(f.nodes[0], `{"backend": "nobody:80", "state": "open", "for_s": 1}`); status != http.StatusNotFound || !strings.Contains(text, `"field":"backend"`) {
		t.Errorf("%d %s", status, text)
	}
}
