package node

import (
	"io"
	"strings"
	"testing"
)

// served reports what an answer of the test's upstream looks like.
func (n *testNode) served(method, path string, headers ...string) (int, string) {
	n.t.Helper()
	resp := n.do(method, path, headers...)
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestHostsSeparateRoutesAndTheirLimits(t *testing.T) {
	n := start(t, `
routes:
  - {path: "/x", upstream: "${UPSTREAM}", hosts: ["a.example"], rate_limit: {rps: 1, burst: 1, key_by: ip}}
  - {path: "/x", upstream: "${UPSTREAM}", hosts: ["*.b.example"], rate_limit: {rps: 1, burst: 1, key_by: ip}}
`)
	f := func(host string, want int) {
		t.Helper()
		resp := n.raw("GET /x HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
		if resp.StatusCode != want {
			t.Errorf("%s: status %d, want %d", host, resp.StatusCode, want)
		}
	}
	f("a.example", 200)
	f("A.example:8080", 429)
	f("x.b.example", 200)
	f("y.b.example", 429)
	f("b.example", 404)
	if status, body := n.served("GET", "/metrics"); status != 200 || !strings.Contains(body, `route="a.example/x"`) {
		t.Errorf("/metrics does not tell the routes apart: %d", status)
	}
}

const shapedRoute = `
routes:
  - path: "/x/:id/*"
    upstream: "${UPSTREAM}"
`

// startRoute starts a node with one route and further keys of it, one a line.
func startRoute(t *testing.T, keys ...string) *testNode {
	t.Helper()
	return start(t, shapedRoute+"    "+strings.Join(keys, "\n    ")+"\n")
}

func TestRewriteReachesTheUpstream(t *testing.T) {
	n := startRoute(t, `rewrite: "/v2/:id/of/*"`)
	if status, _ := n.served("GET", "/x/7/a%20b/?q=%2F"); status != 200 {
		t.Fatalf("status %d", status)
	}
	if got := n.seen.Load().URL.String(); got != "/v2/7/of/a%20b/?q=%2F" {
		t.Errorf("the upstream saw %s", got)
	}
}

func TestPreservedHostReachesTheUpstream(t *testing.T) {
	n := startRoute(t, `preserve_host: true`)
	n.raw("GET /x/1 HTTP/1.1\r\nHost: Shop.example:81\r\nConnection: close\r\n\r\n")
	if got := n.seen.Load().Host; got != "Shop.example:81" {
		t.Errorf("the upstream saw %s", got)
	}
}

// The operator's header rules also hold for answers that the gateway gives
// itself, and have the last word.
func TestHeaderRules(t *testing.T) {
	n := startRoute(t,
		`request_headers: {set: {X-Tenant: blue}, remove: [Accept-Encoding]}`,
		`response_headers: {set: {Strict-Transport-Security: "max-age=1", X-Upstream: changed}, add: {Vary: Cookie}, remove: [X-Request-ID]}`,
		`rate_limit: {rps: 1, burst: 1, key_by: ip}`)
	f := func(status int) {
		t.Helper()
		resp := n.do("GET", "/x/1", "X-Tenant: red", "Accept-Encoding: br")
		if resp.StatusCode != status {
			t.Errorf("status %d, want %d", resp.StatusCode, status)
		}
		for name, want := range map[string]string{"Strict-Transport-Security": "max-age=1", "X-Upstream": "changed", "Vary": "Cookie", "X-Request-Id": ""} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%d: %s is %q, want %q", status, name, got, want)
			}
		}
	}
	f(200)
	f(429)
	if seen := n.seen.Load().Header; seen.Get("X-Tenant") != "blue" || len(seen.Values("X-Tenant")) != 1 || seen.Get("Accept-Encoding") != "" {
		t.Errorf("the upstream saw %v", seen)
	}
	n = startRoute(t, `response_headers: {set: {X-A: "1"}}`)
	if got := n.do("GET", "/health").Header.Get("X-A"); got != "" {
		t.Errorf("a built-in endpoint answers X-A: %q", got)
	}
}

func TestAllowAndDeny(t *testing.T) {
	f := func(want int, keys ...string) {
		t.Helper()
		n := startRoute(t, keys...)
		if got := n.do("GET", "/x/1").StatusCode; got != want {
			t.Errorf("%q: status %d, want %d", keys, got, want)
		}
	}
	f(200, `allow: ["127.0.0.0/8"]`)
	f(403, `allow: ["10.0.0.0/8", "::1"]`)
	f(403, `deny: ["127.0.0.1"]`)
	f(200, `deny: ["127.0.0.2"]`)
	f(403, `allow: ["127.0.0.0/8"]`, `deny: ["127.0.0.1/32"]`)
	n := startRoute(t, `deny: ["127.0.0.1"]`)
	checkProblem(t, n.do("GET", "/x/1", "X-Forwarded-For: 10.0.0.1"), 403, "address-denied")
	if n.hits.Load() != 0 {
		t.Error("a refused request reached the upstream")
	}
}

// Behind a trusted proxy it is the client who is allowed or not.
func TestDenyGoesByTheClient(t *testing.T) {
	n := startIn(t.Context(), t, shapedRoute+`    deny: ["203.0.113.0/24"]`+"\n", `drain_delay_ms: 0, trusted_proxies: ["127.0.0.1"]`)
	if got := n.do("GET", "/x/1", "X-Forwarded-For: 203.0.113.9").StatusCode; got != 403 {
		t.Errorf("status %d for a denied client", got)
	}
	if got := n.do("GET", "/x/1", "X-Forwarded-For: 198.51.100.9").StatusCode; got != 200 {
		t.Errorf("status %d for another", got)
	}
}

func TestCORSPerRoute(t *testing.T) {
	n := start(t, `
cors: {allow_origins: ["https://app.example"]}
routes:
  - {path: "/own", upstream: "${UPSTREAM}", methods: [GET], cors: {allow_origins: ["*"], allow_methods: [GET]}}
  - {path: "/own", upstream: "${UPSTREAM}", methods: [PUT], cors: {allow_origins: ["https://admin.example"], max_age_s: 5}}
  - {path: "/off", upstream: "${UPSTREAM}", cors: {}}
  - {path: "/shared", upstream: "${UPSTREAM}"}
`)
	f := func(method, path, origin, preflight, want, maxAge string) {
		t.Helper()
		headers := []string{"Origin: " + origin}
		if preflight != "" {
			headers = append(headers, "Access-Control-Request-Method: "+preflight)
		}
		resp := n.do(method, path, headers...)
		if got := resp.Header.Get("Access-Control-Allow-Origin"); got != want || resp.Header.Get("Access-Control-Max-Age") != maxAge {
			t.Errorf("%s %s from %s: allowed %q for %q, want %q for %q", method, path, origin, got, resp.Header.Get("Access-Control-Max-Age"), want, maxAge)
		}
	}
	const app, admin = "https://app.example", "https://admin.example"
	f("GET", "/own", app, "", "*", "")
	f("OPTIONS", "/own", app, "GET", "*", "600")
	f("OPTIONS", "/own", app, "PUT", "", "")
	f("OPTIONS", "/own", admin, "PUT", admin, "5")
	f("PUT", "/own", admin, "", admin, "")
	f("GET", "/shared", app, "", app, "")
	f("OPTIONS", "/shared", app, "GET", app, "600")
	f("GET", "/nowhere", app, "", app, "")
	f("GET", "/off", app, "", "https://upstream.example", "") // the upstream's own passes
}

func TestBodyLimitOfARoute(t *testing.T) {
	n := startRoute(t, `max_body_bytes: 10`, `rate_limit: {rps: 1, burst: 2, key_by: ip}`)
	f := func(body string, want int) {
		t.Helper()
		resp := n.raw("POST /x/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + body)
		if resp.StatusCode != want {
			t.Errorf("%q: status %d, want %d", body, resp.StatusCode, want)
		}
	}
	f("Content-Length: 11\r\n\r\n12345678901", 413)
	f("Transfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n", 413)
	// What declares its length was not charged; what does not has to be read to be known.
	f("Content-Length: 10\r\n\r\n1234567890", 200)
	f("Content-Length: 10\r\n\r\n1234567890", 429)
}
