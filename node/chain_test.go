package node

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/auth"
)

const testSecret = "a-secret-that-is-long-enough-for-a-test"

// testNode is a running node behind which one upstream answers.
type testNode struct {
	*Node
	t        *testing.T
	path     string
	server   string // settings of the server section
	upstream *http.Server
	hits     atomic.Int64
	seen     atomic.Pointer[http.Request]
	play     atomic.Pointer[http.HandlerFunc] // what the upstream does instead
	logs     *logBuffer
	stopped  chan error
}

// start runs a node on the configuration until the test ends; ${UPSTREAM} in it
// is the upstream's address.
func start(t *testing.T, routes string) *testNode {
	t.Helper()
	return startIn(t.Context(), t, routes, "drain_delay_ms: 0")
}

// startIn runs a node until ctx ends.
func startIn(ctx context.Context, t *testing.T, routes, server string) *testNode {
	t.Helper()
	n := &testNode{t: t, server: server, logs: &logBuffer{}, stopped: make(chan error, 1)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.upstream = &http.Server{Handler: http.HandlerFunc(n.answer)}
	go func() { _ = n.upstream.Serve(ln) }()
	t.Cleanup(func() { _ = n.upstream.Close() })

	n.path = filepath.Join(t.TempDir(), "config.yaml")
	n.write(routes)
	n.Node, err = New(Options{
		Path: n.path, Log: n.logs, Version: "test",
		Lookup: func(name string) (string, bool) {
			v, ok := map[string]string{"UPSTREAM": "http://" + ln.Addr().String(), "SECRET": testSecret}[name]
			return v, ok
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { n.stopped <- n.Run(ctx) }()
	t.Cleanup(func() {
		// The test's context ends just before its cleanups run.
		if err := <-n.stopped; err != nil {
			t.Errorf("the node stopped with %v", err)
		}
	})
	return n
}

// write replaces the configuration file as an editor does. Routes with a jwt
// section of their own do without the usual one.
func (n *testNode) write(routes string) {
	n.t.Helper()
	jwt := "jwt: {secret: \"${SECRET}\", forward_claims: {sub: X-User-ID, tenant: X-Tenant}}\n"
	if strings.Contains(routes, "jwt:") {
		jwt = ""
	}
	limit := ""
	if !strings.Contains(n.server, "body_limit_bytes") {
		limit = ", body_limit_bytes: 1000"
	}
	text := "server: {host: 127.0.0.1, port: 0, " + n.server + limit + ", header_limit_bytes: 2048}\n" +
		"admin: {port: 0}\n" + jwt + routes
	temp := n.path + ".new"
	if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	if err := os.Rename(temp, n.path); err != nil {
		n.t.Fatal(err)
	}
}

func (n *testNode) answer(w http.ResponseWriter, r *http.Request) {
	n.hits.Add(1)
	n.seen.Store(r.Clone(r.Context()))
	if play := n.play.Load(); play != nil {
		(*play)(w, r)
		return
	}
	w.Header().Set("X-Upstream", "yes")
	w.Header().Set("Access-Control-Allow-Origin", "https://upstream.example")
	_, _ = io.WriteString(w, "hello")
}

// do sends a request; headers are "Name: value".
func (n *testNode) do(method, path string, headers ...string) *http.Response {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, "http://"+n.Addr()+path, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		n.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		n.t.Fatal(err)
	}
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	return resp
}

// raw sends bytes as they are and returns the first response.
func (n *testNode) raw(request string) *http.Response {
	n.t.Helper()
	conn, err := net.Dial("tcp", n.Addr())
	if err != nil {
		n.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		n.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	return resp
}

// token returns an Authorization header that was signed some time ago and was
// good for an hour.
func token(t *testing.T, change func(*auth.Config), ago time.Duration) string {
	t.Helper()
	cfg := auth.DefaultConfig()
	cfg.Secret = testSecret
	if change != nil {
		change(&cfg)
	}
	signed, err := auth.SignToken(cfg, "alice", time.Hour, time.Now().Add(-ago))
	if err != nil {
		t.Fatal(err)
	}
	return "Authorization: Bearer " + signed
}

const twoRoutes = `
routes:
  - {path: "/open/*", upstream: "${UPSTREAM}", methods: [GET, POST], strip_prefix: /open}
  - {path: "/users/*", upstream: "${UPSTREAM}", auth_required: true, rate_limit: {rps: 1, burst: 3, key_by: user}}
  - {path: "/dead", upstream: "http://127.0.0.1:1", timeout_ms: 2000}
`

// checkProblem verifies that a refusal says its id and nothing from inside.
func checkProblem(t *testing.T, resp *http.Response, status int, code string) {
	t.Helper()
	if resp.StatusCode != status {
		t.Errorf("status %d, want %d", resp.StatusCode, status)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	raw, _ := io.ReadAll(resp.Body)
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatalf("body %q is no problem: %v", raw, err)
	}
	id := resp.Header.Get("X-Request-Id")
	if fields["code"] != code || id == "" || fields["request_id"] != id || fields["status"] != float64(status) {
		t.Errorf("problem %s with X-Request-Id %q, want code %q", raw, id, code)
	}
	if len(fields) != 5 {
		t.Errorf("problem %s tells more than it should", raw)
	}
}

func TestRequestsReachTheUpstream(t *testing.T) {
	n := start(t, twoRoutes)
	resp := n.do("GET", "/open/a/b?q=1", "X-Request-ID: my-id", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || string(body) != "hello" || resp.Header.Get("X-Upstream") != "yes" {
		t.Fatalf("answer %d %q", resp.StatusCode, body)
	}
	if got := resp.Header.Get("X-Request-Id"); got != "my-id" {
		t.Errorf("X-Request-Id %q came back, want the client's", got)
	}
	seen := n.seen.Load()
	if seen.URL.String() != "/a/b?q=1" || seen.Header.Get("X-Request-Id") != "my-id" {
		t.Errorf("upstream saw %s with id %q", seen.URL, seen.Header.Get("X-Request-Id"))
	}
	if got := seen.Header.Get("Traceparent"); !strings.Contains(got, "0af7651916cd43dd8448eb211c80319c") {
		t.Errorf("upstream saw traceparent %q, want the client's trace", got)
	}
	if got := seen.Header.Get("X-Forwarded-For"); got != "127.0.0.1" {
		t.Errorf("upstream saw X-Forwarded-For %q", got)
	}
}

func TestRefusals(t *testing.T) {
	n := start(t, twoRoutes)
	f := func(status int, code, method, path string, headers ...string) {
		t.Helper()
		checkProblem(t, n.do(method, path, headers...), status, code)
	}
	f(404, "no-route", "GET", "/nowhere")
	f(404, "no-route", "GET", "/openx")
	f(405, "method-not-allowed", "DELETE", "/open/x")
	f(405, "method-not-allowed", "POST", "/health")
	f(400, "bad-path", "GET", "/open/%2e%2e/users/x")
	f(400, "bad-path", "GET", "/open//x")
	f(400, "bad-path", "GET", "/open/a%2fb")
	f(401, "token-missing", "GET", "/users/1")
	f(401, "token-missing", "GET", "/users/1", "Authorization: Basic YTpi")
	f(401, "token-invalid", "GET", "/users/1", "Authorization: Bearer x.y.z")
	f(401, "token-invalid", "GET", "/users/1", token(t, nil, 2*time.Hour))
	f(401, "token-invalid", "GET", "/users/1", token(t, func(c *auth.Config) { c.Secret = strings.Repeat("other", 9) }, 0))
	f(401, "token-invalid", "GET", "/users/1", token(t, func(c *auth.Config) { c.Issuer = "another" }, 0))
	f(400, "bad-request", "GET", "/users/1", token(t, nil, 0), "Authorization: Bearer another")
	f(502, "upstream-failed", "GET", "/dead")
	if n.hits.Load() != 0 {
		t.Errorf("%d refused requests reached the upstream", n.hits.Load())
	}
	if got := n.do("DELETE", "/open/x").Header.Get("Allow"); got != "GET, HEAD, POST" {
		t.Errorf("Allow is %q", got)
	}
	if got := n.do("GET", "/users/1", "Authorization: Bearer x").Header.Get("Www-Authenticate"); !strings.Contains(got, `error="invalid_token"`) {
		t.Errorf("WWW-Authenticate is %q", got)
	}
}

func TestUnreadableRequests(t *testing.T) {
	n := start(t, twoRoutes)
	f := func(status int, code, request string) {
		t.Helper()
		checkProblem(t, n.raw(request), status, code)
	}
	f(413, "body-too-large", "POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n"+strings.Repeat("x", 1001))
	f(431, "headers-too-large", "GET /open/x HTTP/1.1\r\nHost: a\r\nX-Big: "+strings.Repeat("x", 4096)+"\r\n\r\n")
	f(400, "bad-request", "POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx")
	f(400, "bad-request", "GET /open/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
	f(501, "method-unknown", "BREW /open/x HTTP/1.1\r\nHost: a\r\n\r\n")
	if n.hits.Load() != 0 {
		t.Errorf("%d unreadable requests reached the upstream", n.hits.Load())
	}
}

// What cannot be parsed is logged without what was in it.
func TestUnreadableRequestsKeepTheirSecrets(t *testing.T) {
	n := start(t, twoRoutes)
	n.raw("GET /open/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer planted-token\r\nBad Header\r\n\r\n")
	n.raw("GET /open/x?key=planted-token HTTP/9\r\nHost: a\r\n\r\n")
	eventually(t, "both refusals in the log", func() bool { return strings.Count(n.logs.String(), "malformed request") == 2 })
	if strings.Contains(n.logs.String(), "planted-token") {
		t.Errorf("the log holds the token: %s", n.logs.String())
	}
}

// Connections opened ahead of need are neither counted nor logged.
func TestSilentConnectionsAreNoRequests(t *testing.T) {
	n := start(t, twoRoutes)
	conn, err := net.Dial("tcp", n.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil { // closing resets
		t.Fatal(err)
	}
	_ = conn.Close()
	eventually(t, "the connection being gone", func() bool { return n.app.Server().GetOpenConnectionsCount() == 0 })
	n.do("GET", "/open/x", "X-Request-ID: the-only-one")
	n.logs.wait(t, "the-only-one")
	if got := n.logs.String(); strings.Contains(got, `"unmatched"`) {
		t.Errorf("the silent connection is in the log: %s", got)
	}
}

// A client that is still sending when it is refused must get the answer, not a
// reset connection.
func TestRefusalOutlivesALargeUpload(t *testing.T) {
	n := start(t, twoRoutes)
	for range 10 {
		resp := n.raw("POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("x", 200_000))
		checkProblem(t, resp, 413, "body-too-large")
	}
}

func TestIdentityReachesTheUpstreamAndCannotBeForged(t *testing.T) {
	n := start(t, twoRoutes)
	resp := n.do("GET", "/users/1", token(t, nil, 0), "X-User-ID: mallory", "x_user_id: mallory", "X-Tenant: evil", "X-Forwarded-For: 6.6.6.6")
	if resp.StatusCode != 200 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	seen := n.seen.Load().Header
	if got := seen.Values("X-User-Id"); len(got) != 1 || got[0] != "alice" {
		t.Errorf("upstream saw X-User-ID %q", got)
	}
	for name, values := range seen {
		if text := fmt.Sprint(values); strings.Contains(text, "mallory") || strings.Contains(text, "evil") || strings.Contains(text, "6.6.6.6") {
			t.Errorf("upstream saw the client's %s: %s", name, text)
		}
	}
}

func TestUserLimitAndItsHeaders(t *testing.T) {
	n := start(t, twoRoutes)
	bearer := token(t, nil, 0)
	for i := range 3 {
		resp := n.do("GET", "/users/1", bearer)
		if got := resp.Header.Get("X-Ratelimit-Remaining"); resp.StatusCode != 200 || got != fmt.Sprint(2-i) {
			t.Errorf("request %d: status %d, remaining %q", i, resp.StatusCode, got)
		}
	}
	resp := n.do("GET", "/users/1", bearer)
	checkProblem(t, resp, 429, "rate-limited")
	for name, want := range map[string]string{
		"Retry-After": "1", "Ratelimit-Policy": `"user";q=3;w=3`, "Ratelimit": `"user";r=0;t=1`, "X-Ratelimit-Limit": "3",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestStrangersAreChargedToTheirAddressOnly(t *testing.T) {
	n := start(t, "global_rate_limit: {rps: 1, burst: 5, key_by: global}\n"+twoRoutes)
	statuses := map[int]int{}
	for range 60 {
		statuses[n.do("GET", "/users/1").StatusCode]++
	}
	if statuses[401] < strangerRPS || statuses[429] == 0 || statuses[401]+statuses[429] != 60 {
		t.Errorf("statuses %v, want about %d times 401, then 429", statuses, strangerRPS)
	}
	if got := n.do("GET", "/users/1", token(t, nil, 0)).StatusCode; got != 200 {
		t.Errorf("a customer gets %d after the strangers, want 200: the global bucket was theirs to spend", got)
	}
}

func TestGlobalBucketIsNotTold(t *testing.T) {
	n := start(t, "global_rate_limit: {rps: 1, burst: 1, key_by: global}\n"+twoRoutes)
	first, second := n.do("GET", "/open/x"), n.do("GET", "/open/x")
	if first.StatusCode != 200 || second.StatusCode != 429 {
		t.Fatalf("statuses %d, %d", first.StatusCode, second.StatusCode)
	}
	for name := range second.Header {
		if strings.Contains(strings.ToLower(name), "ratelimit") {
			t.Errorf("a denial by the global bucket tells %s", name)
		}
	}
	if second.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", second.Header.Get("Retry-After"))
	}
}

func TestCORS(t *testing.T) {
	n := start(t, `cors: {allow_origins: ["https://app.example"], allow_credentials: true, expose_headers: [X-Upstream]}`+"\n"+twoRoutes)
	f := func(method, path string, want map[string]string, headers ...string) {
		t.Helper()
		resp := n.do(method, path, headers...)
		for name, value := range want {
			if got := strings.Join(resp.Header.Values(name), "|"); got != value {
				t.Errorf("%s %s: %s is %q, want %q", method, path, name, got, value)
			}
		}
	}
	const mine, foreign = "Origin: https://app.example", "Origin: https://evil.example"
	allowed := map[string]string{"Access-Control-Allow-Origin": "https://app.example", "Access-Control-Allow-Credentials": "true", "Vary": "Origin"}
	denied := map[string]string{"Access-Control-Allow-Origin": "", "Access-Control-Allow-Credentials": "", "Vary": "Origin"}
	f("GET", "/open/x", allowed, mine)
	f("GET", "/users/x", allowed, mine) // on a 401 too
	f("GET", "/dead", allowed, mine)    // and on a 502
	f("GET", "/open/x", denied, foreign)
	f("GET", "/open/x", denied)
	f("OPTIONS", "/users/x", map[string]string{"Access-Control-Allow-Origin": "https://app.example", "Access-Control-Max-Age": "600"},
		mine, "Access-Control-Request-Method: PUT")
	denied["Vary"] = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
	f("OPTIONS", "/users/x", denied, foreign, "Access-Control-Request-Method: PUT")
	if n.hits.Load() != 3 {
		t.Errorf("the upstream was hit %d times, want 3: preflights end at the gateway", n.hits.Load())
	}
}

func TestPanicIsA500AndTheProcessLives(t *testing.T) {
	n := start(t, twoRoutes)
	n.builtins["/boom"] = func(string) (page, error) { panic("inside knowledge") }
	checkProblem(t, n.do("GET", "/boom"), 500, "internal")
	n.logs.wait(t, "inside knowledge")
	if got := n.do("GET", "/open/x").StatusCode; got != 200 {
		t.Errorf("status %d after a panic", got)
	}
}

func TestBuiltins(t *testing.T) {
	n := start(t, twoRoutes)
	n.do("GET", "/open/x")
	f := func(path, contentType, want string) {
		t.Helper()
		resp := n.do("GET", path)
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), contentType) || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %s %.200s, want %q", path, resp.StatusCode, resp.Header.Get("Content-Type"), body, want)
		}
	}
	f("/health", "application/json", `"ok"`)
	f("/ready", "application/json", `"ready"`)
	f("/metrics", "text/plain", `http_requests_total{method="GET",route="/open/*",status="2xx"} 1`)
	f("/metrics", "text/plain", `http_request_duration_seconds_bucket{route="/open/*",le="0.005"}`)
	f("/metrics", "text/plain", "http_requests_in_flight 1")
	f("/openapi.json", "application/json", `"/users/{path}"`)
	f("/docs", "text/html", "swagger-ui")
	f("/docs/swagger-ui-bundle.js", "text/javascript", "")
}

func TestForeignFlashCookieIsNotAnswered(t *testing.T) {
	n := start(t, twoRoutes)
	if got := n.do("GET", "/health", "Cookie: fiber_flash=90").Header.Get("Set-Cookie"); got != "" {
		t.Errorf("Set-Cookie is %q", got)
	}
}

func TestAccessLogLine(t *testing.T) {
	n := start(t, twoRoutes)
	n.do("GET", "/users/17?secret=q", token(t, nil, 0), "X-Request-ID: line-1")
	line := n.logs.wait(t, "line-1")
	var fields map[string]any
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"level": "info", "request_id": "line-1", "method": "GET", "route": "/users/*", "path": "/users/17", "status": 200.0,
		"tries": 1.0, "limit": "allowed", "limit_source": "local", "client_ip": "127.0.0.1", "user": "alice", "bytes_out": 5.0, "bytes_in": 0.0,
	}
	for name, value := range want {
		if fields[name] != value {
			t.Errorf("%s is %v, want %v", name, fields[name], value)
		}
	}
	for _, name := range []string{"time", "trace_id", "duration_ms", "upstream"} {
		if fields[name] == nil {
			t.Errorf("%s is missing in %s", name, line)
		}
	}
	if strings.Contains(line, "secret") {
		t.Errorf("the line holds the query: %s", line)
	}
}
