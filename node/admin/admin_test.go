package admin

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/go-api-gateway-pro/gateway/cluster/push"
)

const secret = "a-token-for-the-test"

func start(t *testing.T, token string) *Server {
	t.Helper()
	return startWith(t, Options{
		Token:   token,
		Cluster: func() any { return map[string]string{"self": "me"} },
		Config:  func() any { return map[string]int{"routes": 2} },
		Builtin: map[string]http.HandlerFunc{"/metrics": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1") }},
	})
}

func startWith(t *testing.T, o Options) *Server {
	t.Helper()
	o.Addr, o.Log, o.Now = "127.0.0.1:0", zerolog.Nop(), time.Now
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestGuard(t *testing.T) {
	open, locked := start(t, ""), start(t, secret)
	f := func(s *Server, method, path, host, authorization string, status int, want string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			req.Host = host
		}
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != status || !strings.Contains(string(body), want) {
			t.Errorf("%s %s: %d %q, want %d with %q", method, path, resp.StatusCode, body, status, want)
		}
		if strings.Contains(string(body), secret) {
			t.Errorf("%s %s tells the token", method, path)
		}
	}
	f(open, "GET", "/cluster", "", "", 200, `"self": "me"`)
	f(open, "GET", "/config", "", "", 200, `"routes": 2`)
	f(open, "GET", "/metrics", "", "", 200, "up 1")
	f(open, "GET", "/debug/pprof/", "", "", 200, "goroutine")
	f(open, "GET", "/nothing", "", "", 404, "")
	f(open, "POST", "/cluster", "", "", 403, "read-only without admin.token")
	f(open, "GET", "/cluster", "localhost:9901", "", 200, "me")
	f(open, "GET", "/cluster", "[::1]:9901", "", 200, "me")
	f(open, "GET", "/cluster", "rebound.example:9901", "", 421, "Host must be")
	f(open, "GET", "/cluster", "localhost.evil.example", "", 421, "Host must be")
	f(locked, "GET", "/cluster", "", "", 401, "admin token required")
	f(locked, "GET", "/metrics", "", "", 401, "admin token required")
	f(locked, "GET", "/debug/pprof/", "", "", 401, "admin token required")
	f(locked, "GET", "/cluster", "", "Bearer wrong", 401, "admin token required")
	f(locked, "GET", "/cluster", "", "Basic "+secret, 401, "admin token required")
	f(locked, "GET", "/cluster", "", "Bearer "+secret, 200, "me")
	f(locked, "GET", "/cluster", "", "bearer "+secret, 200, "me")
}

// A long profile must not hold up the end of the process.
func TestCloseCutsLongRequestsOff(t *testing.T) {
	s := start(t, "")
	asked := make(chan struct{})
	go func() {
		close(asked)
		resp, err := http.Get("http://" + s.Addr() + "/debug/pprof/profile?seconds=30")
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	}()
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil || ctx.Err() != nil {
		t.Errorf("Close gives %v", err)
	}
}

// The status says how a push went; who has no token, or a body without end,
// gets no further.
func TestPushEndpoint(t *testing.T) {
	outcome := push.Result("")
	s := startWith(t, Options{Token: secret, Push: func(_ context.Context, text []byte) PushAnswer {
		return PushAnswer{Report: push.Report{Outcome: outcome, Hash: string(text), Members: []push.Member{{Name: "a", Result: push.Committed}}}, Version: 7}
	}})
	f := func(result push.Result, body, token string, status int, want string) {
		t.Helper()
		outcome = result
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Addr()+"/cluster/config", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != status || !strings.Contains(string(got), want) {
			t.Errorf("%s: %d %s, want %d with %q", result, resp.StatusCode, got, status, want)
		}
	}
	f(push.Committed, "text", secret, 200, `"hash": "text"`)
	f(push.Committed, "text", secret, 200, `"version": 7`)
	f(push.Partial, "text", secret, 202, `"outcome": "partial"`)
	f(push.Refused, "text", secret, 409, `"outcome": "refused"`)
	f(push.Committed, "text", "wrong", 401, "admin token required")
	f(push.Committed, strings.Repeat("x", push.MaxText+1), secret, 413, "at most 4194304 bytes")
}
