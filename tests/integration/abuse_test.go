package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// raw sends bytes as they are and reads one answer.
func raw(t *testing.T, addr, request string) harness.Answer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	sent := make(chan struct{})
	go func() { // the answer may come before all is sent
		_, _ = io.WriteString(conn, request)
		close(sent)
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer to %.60q: %v", request, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("half an answer to %.60q: %v", request, err)
	}
	_ = conn.Close()
	<-sent
	return harness.Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
}

func startAbused(t *testing.T) (*harness.Gateway, upstream) {
	t.Helper()
	up := newUpstream(t)
	g := gateway.Start(t, harness.Config{
		Server: "body_limit_bytes: 1000, header_limit_bytes: 4096, read_timeout_ms: 1000",
		Routes: []string{
			fmt.Sprintf(`path: "/free/*", upstream: %q`, up.URL),
			fmt.Sprintf(`path: "/own/*", upstream: %q, auth_required: true, rate_limit: {rps: 1000}`, up.URL),
			`path: "/dead/*", upstream: "http://127.0.0.1:1"`,
		},
	}.YAML())
	return g, up
}

func TestAbusiveRequests(t *testing.T) {
	g, up := startAbused(t)
	f := func(status int, code, request string) {
		t.Helper()
		checkProblem(t, raw(t, g.Addr, request), status, code)
	}
	f(413, "body-too-large", "POST /free/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n"+strings.Repeat("x", 1001))
	f(413, "body-too-large", "POST /free/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5dc\r\n"+strings.Repeat("x", 1500)+"\r\n0\r\n\r\n")
	f(431, "headers-too-large", "GET /free/x HTTP/1.1\r\nHost: a\r\nX-Big: "+strings.Repeat("x", 5000)+"\r\n\r\n")
	f(400, "bad-request", "POST /free/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
	f(400, "bad-request", "GET /free/x HTTP/1.1\r\nHost : a\r\n\r\n")
	f(400, "bad-request", "this is not HTTP\r\n\r\n")
	f(501, "method-unknown", "BREW /free/x HTTP/1.1\r\nHost: a\r\n\r\n")
	f(400, "bad-path", "GET /free/%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n")
	f(404, "no-route", "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
	f(405, "method-not-allowed", "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
	f(408, "request-timeout", "GET /free/x HTTP/1.1\r\nHost: a\r\n")
	f(502, "upstream-failed", "POST /dead/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
	if n := up.Count(); n != 0 {
		t.Errorf("%d of these reached the upstream, want none", n)
	}
	if a := raw(t, g.Addr, "GET /free/x HTTP/1.1\r\nHost: a\r\n\r\n"); a.Status != 200 {
		t.Errorf("a good request after all that: got %d, want 200", a.Status)
	}
}

func TestBadTokens(t *testing.T) {
	g, up := startAbused(t)
	hour := time.Now().Add(time.Hour).Unix()
	claims := func(change map[string]any) map[string]any {
		all := map[string]any{"sub": "ada", "iss": "api-gateway", "exp": hour}
		for k, v := range change {
			all[k] = v
		}
		return all
	}
	f := func(name, token string) {
		t.Helper()
		a := harness.Ask(t, "GET", g.URL("/own/x"), "", "Authorization", token)
		checkProblem(t, a, 401, "token-invalid")
		if got := a.Header.Get("WWW-Authenticate"); got != `Bearer realm="api-gateway", error="invalid_token"` {
			t.Errorf("%s: got WWW-Authenticate %q", name, got)
		}
	}
	f("expired", "Bearer "+harness.Forge(t, "HS256", harness.Secret, claims(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})))
	f("not yet", "Bearer "+harness.Forge(t, "HS256", harness.Secret, claims(map[string]any{"nbf": hour})))
	f("foreign key", "Bearer "+harness.Forge(t, "HS256", "another-secret-of-another-gateway-here", claims(nil)))
	f("foreign issuer", "Bearer "+harness.Forge(t, "HS256", harness.Secret, claims(map[string]any{"iss": "another"})))
	f("no signature", "Bearer "+harness.Forge(t, "none", "", claims(nil)))
	f("wrong algorithm", "Bearer "+harness.Forge(t, "HS512", harness.Secret, claims(nil)))
	f("no token at all", "Bearer nonsense")
	if n := up.Count(); n != 0 {
		t.Errorf("%d of these reached the upstream, want none", n)
	}
	if a := harness.Ask(t, "GET", g.URL("/own/x"), "", "Authorization", "Bearer "+harness.Forge(t, "HS256", harness.Secret, claims(nil))); a.Status != 200 {
		t.Errorf("a good token: got %d, want 200", a.Status)
	}
}
