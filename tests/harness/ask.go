package harness

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	askLimit = 10 * time.Second
	askAgain = 50 * time.Millisecond
)

// Answer is a response, read to its end.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Ask sends one request on a connection of its own. Headers come in pairs.
func Ask(tb testing.TB, method, url, body string, headers ...string) Answer {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, url, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Timeout: askLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		tb.Fatalf("cannot %s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatalf("cannot read the answer of %s %s: %v", method, url, err)
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(text)}
}

// JSON decodes the body into v.
func (a Answer) JSON(tb testing.TB, v any) {
	tb.Helper()
	if err := json.Unmarshal([]byte(a.Body), v); err != nil {
		tb.Fatalf("cannot decode %q: %v", a.Body, err)
	}
}

// Eventually asks again until ok returns true, and fails the test after limit.
func Eventually(tb testing.TB, limit time.Duration, what string, ok func() bool) {
	tb.Helper()
	for start := time.Now(); !ok(); time.Sleep(askAgain) {
		if time.Since(start) > limit {
			tb.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// URL returns the address of a path on the data port.
func (g *Gateway) URL(path string) string { return "http://" + g.Addr + path }

// Ready is the answer of /ready.
type Ready struct{ Status, Limits string }

// Ready asks /ready.
func (g *Gateway) Ready() Ready {
	g.tb.Helper()
	var r Ready
	Ask(g.tb, "GET", g.URL("/ready"), "").JSON(g.tb, &r)
	return r
}

// Member is one row of /cluster.
type Member struct {
	Name, Address, Mode string
	Config              struct {
		Version      int
		Hash, Result string
	}
}

// Breaker is one backend's breaker in /cluster.
type Breaker struct {
	Backend, State string
	By             []string
	Override       *struct{ State string }
}

// Cluster is the answer of /cluster.
type Cluster struct {
	Self     string
	Members  []Member
	Breakers []Breaker
}

// Cluster asks the admin port.
func (g *Gateway) Cluster() Cluster {
	g.tb.Helper()
	var c Cluster
	var headers []string
	if g.Token != "" {
		headers = []string{"Authorization", "Bearer " + g.Token}
	}
	Ask(g.tb, "GET", "http://"+g.Admin+"/cluster", "", headers...).JSON(g.tb, &c)
	return c
}

// Own returns the asked node's own row, empty if it has none yet.
func (c Cluster) Own() Member {
	for _, m := range c.Members {
		if m.Name == c.Self {
			return m
		}
	}
	return Member{}
}

// Metrics asks /metrics.
func (g *Gateway) Metrics() Samples {
	g.tb.Helper()
	return ParseMetrics(Ask(g.tb, "GET", g.URL("/metrics"), "").Body)
}
