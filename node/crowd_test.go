package node

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// heldUpstream answers only once it is released.
func heldUpstream(t *testing.T) (url string, arrived chan struct{}, release func()) {
	t.Helper()
	arrived, held := make(chan struct{}, 10), make(chan struct{})
	release = sync.OnceFunc(func() { close(held) })
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-held
		_, _ = io.WriteString(w, "late")
	}))
	t.Cleanup(s.Close)
	t.Cleanup(release)
	return s.URL, arrived, release
}

// Requests beyond what node or route can bear are refused before they are charged,
// and built-in endpoints are not among them.
func TestCrowdIsRefused(t *testing.T) {
	f := func(what, server, route string) {
		t.Helper()
		url, arrived, release := heldUpstream(t)
		n := startIn(t.Context(), t, `
routes:
  - {path: "/slow", upstream: "`+url+`", rate_limit: {rps: 1, burst: 2, key_by: ip}`+route+`}
`, "drain_delay_ms: 0"+server)
		var done sync.WaitGroup
		done.Go(func() {
			if got := n.do("GET", "/slow").StatusCode; got != 200 {
				t.Errorf("%s: the first got %d", what, got)
			}
		})
		<-arrived
		for range 3 {
			resp := n.do("GET", "/slow")
			if resp.Header.Get("Retry-After") != "1" || resp.Header.Get("X-Ratelimit-Limit") != "" {
				t.Errorf("%s: refused with %v", what, resp.Header)
			}
			checkProblem(t, resp, 503, "overloaded")
		}
		if got := n.do("GET", "/health").StatusCode; got != 200 {
			t.Errorf("%s: /health is %d", what, got)
		}
		release()
		done.Wait()
		// One token is left: the refused ones cost nothing; and the place is free.
		if got := n.do("GET", "/slow").StatusCode; got != 200 {
			t.Errorf("%s: the last got %d", what, got)
		}
		if _, body := n.served("GET", "/metrics"); !strings.Contains(body, `gateway_overloaded_total{scope="`+what+`"} 3`) {
			t.Errorf("%s: the refusals are not counted", what)
		}
	}
	f("node", ", max_in_flight: 1", "")
	f("route", "", ", max_in_flight: 1")
}

// A reload neither forgets who is under way nor makes anybody count twice.
func TestCrowdSurvivesAReload(t *testing.T) {
	url, arrived, release := heldUpstream(t)
	routes := func(limit string) string {
		return "routes:\n  - {path: \"/slow\", upstream: \"" + url + "\", max_in_flight: " + limit + "}\n"
	}
	n := start(t, routes("2"))
	var done sync.WaitGroup
	defer done.Wait()
	defer release()
	done.Go(func() { n.do("GET", "/slow") })
	<-arrived
	n.write(routes("1"))
	if err := n.Reload(); err != nil {
		t.Fatal(err)
	}
	checkProblem(t, n.do("GET", "/slow"), 503, "overloaded")
}

// Who finds all connections of an upstream taken is told when to come back.
func TestTakenConnectionsAreA503(t *testing.T) {
	url, arrived, release := heldUpstream(t)
	n := start(t, "routes:\n  - {path: \"/slow\", upstream: \""+url+"\", connections: {max: 1, wait_ms: 0}}\n")
	var done sync.WaitGroup
	defer done.Wait()
	defer release()
	done.Go(func() { n.do("GET", "/slow") })
	<-arrived
	resp := n.do("GET", "/slow")
	if got := resp.Header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After is %q", got)
	}
	checkProblem(t, resp, 503, "no-upstream")
}
