package admin

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// testDoor is a guarded handler on a hand-set clock. The handler answers "inside".
type testDoor struct {
	http.Handler
	now  time.Time
	logs bytes.Buffer
}

func newTestDoor(token string) *testDoor {
	d := &testDoor{now: time.Unix(1_700_000_000, 0)}
	door := newDoor(Options{Addr: "gateway.internal:9901", Hosts: []string{"gateway.example"}, Token: token, Log: zerolog.New(&d.logs), Now: func() time.Time { return d.now }})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", page("login.html"))
	mux.HandleFunc("GET "+pagePath+"{file}", pageFile)
	mux.HandleFunc("POST /login", door.login)
	mux.HandleFunc("POST /logout", door.logout)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("inside")) })
	d.Handler = door.guard(mux)
	return d
}

// send makes a request to 127.0.0.1:9901; headers are "Name: value".
func (d *testDoor) send(method, path, form string, headers ...string) *http.Response {
	req := httptest.NewRequest(method, "http://127.0.0.1:9901"+path, strings.NewReader(form))
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
		if name == "Host" {
			req.Host = value
		}
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, req)
	return w.Result()
}

const (
	ownOrigin = "Origin: http://127.0.0.1:9901"
	secret2   = "another-token-for-the-test"
)

// logIn returns the Cookie header of a session.
func (d *testDoor) logIn(t *testing.T) string {
	t.Helper()
	resp := d.send("POST", "/login", url.Values{"token": {secret}}.Encode(), ownOrigin)
	cookies := resp.Cookies()
	if resp.StatusCode != http.StatusSeeOther || len(cookies) != 1 {
		t.Fatalf("login answers %d with cookies %v", resp.StatusCode, cookies)
	}
	return "Cookie: " + sessionCookie + "=" + cookies[0].Value
}

func TestLogin(t *testing.T) {
	d := newTestDoor(secret)
	f := func(want int, token, origin string) {
		t.Helper()
		resp := d.send("POST", "/login", url.Values{"token": {token}}.Encode(), origin)
		if resp.StatusCode != want || (len(resp.Cookies()) == 1) != (want == http.StatusSeeOther) {
			t.Errorf("token %.8q, %s: %d with cookies %v, want %d", token, origin, resp.StatusCode, resp.Cookies(), want)
		}
	}
	f(303, secret, ownOrigin)
	f(401, "", ownOrigin)
	f(401, secret2, ownOrigin)
	f(401, secret+"x", ownOrigin)
	f(401, secret+strings.Repeat("x", maxForm), ownOrigin)
	f(403, secret, "Origin: https://evil.example")
	f(403, secret, "Origin: null")
	f(403, secret, "X-No-Origin: 1")
	if strings.Contains(d.logs.String(), secret) || strings.Contains(d.logs.String(), secret2) {
		t.Errorf("the log holds a token: %s", d.logs.String())
	}

	cookie := d.send("POST", "/login", url.Values{"token": {secret}}.Encode(), ownOrigin).Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "" || cookie.Secure || strings.Contains(cookie.Value, secret) {
		t.Errorf("cookie is %v", cookie)
	}
	tls := d.send("POST", "/login", url.Values{"token": {secret}}.Encode(), "Host: gateway.internal", "Origin: https://gateway.internal")
	if c := tls.Cookies(); len(c) != 1 || !c[0].Secure {
		t.Errorf("behind TLS the cookie is %v", c)
	}
}

func TestSession(t *testing.T) {
	d := newTestDoor(secret)
	cookie := d.logIn(t)
	f := func(want int, method string, headers ...string) {
		t.Helper()
		if resp := d.send(method, "/cluster", "", headers...); resp.StatusCode != want {
			t.Errorf("%s %q: %d, want %d", method, headers, resp.StatusCode, want)
		}
	}
	f(200, "GET", cookie)
	f(200, "POST", cookie, ownOrigin)
	f(403, "POST", cookie) // a browser always says where a POST comes from
	f(403, "POST", cookie, "Origin: https://evil.example")
	f(403, "POST", cookie, "Origin: http://127.0.0.1:9902")
	f(403, "POST", cookie, "Origin: null")
	f(403, "DELETE", cookie, "Origin: http://localhost:9901")
	f(200, "POST", cookie, "Authorization: Bearer "+secret)
	f(401, "GET", cookie, "Authorization: Bearer wrong") // the cookie does not make up for it
	f(401, "GET", cookie+"x")
	f(401, "GET", "Cookie: "+sessionCookie+"="+secret)
	f(401, "GET", "Cookie: "+sessionCookie+"=")
	d.now = d.now.Add(sessionLife - time.Second)
	f(200, "GET", cookie)
	d.now = d.now.Add(time.Second)
	f(401, "GET", cookie)

	d.now = d.now.Add(-time.Minute)
	f(200, "GET", cookie)
	if resp := newTestDoor(secret).send("GET", "/cluster", "", cookie); resp.StatusCode != 200 {
		t.Errorf("a session of another node with the same token: %d", resp.StatusCode)
	}
	if resp := newTestDoor(secret2).send("GET", "/cluster", "", cookie); resp.StatusCode != 401 {
		t.Errorf("a session of a node with another token: %d", resp.StatusCode)
	}
	out := d.send("POST", "/logout", "", d.logIn(t), ownOrigin)
	if c := out.Cookies(); len(c) != 1 || c[0].MaxAge >= 0 || c[0].Value != "" {
		t.Errorf("logout sets %v", c)
	}
}

// All ways are relative: what a proxy puts before them only the browser knows.
func TestBrowsersAreSentToTheLogin(t *testing.T) {
	d := newTestDoor(secret)
	f := func(path, want string) {
		t.Helper()
		resp := d.send("GET", path, "", "Accept: text/html,*/*;q=0.8")
		if resp.StatusCode != 303 || resp.Header.Get("Location") != want {
			t.Errorf("%s: got %d to %q, want %q", path, resp.StatusCode, resp.Header.Get("Location"), want)
		}
	}
	f("/", "login")
	f("/cluster", "login")
	f("/debug/pprof/", "../../login")
	f("//evil.example/", "../../login")
	if to := d.send("POST", "/login", url.Values{"token": {secret}}.Encode(), ownOrigin).Header.Get("Location"); to != "./" {
		t.Errorf("the login leads to %q", to)
	}
	if to := d.send("POST", "/logout", "", d.logIn(t), ownOrigin).Header.Get("Location"); to != "login" {
		t.Errorf("the logout leads to %q", to)
	}
	wrong := d.send("POST", "/login", "token=x", ownOrigin)
	if body, _ := io.ReadAll(wrong.Body); !strings.Contains(string(body), "not the admin token") {
		t.Errorf("a wrong token is answered with %q", body)
	}
}

func TestHost(t *testing.T) {
	d := newTestDoor("")
	f := func(host string, want int) {
		t.Helper()
		if resp := d.send("GET", "/cluster", "", "Host: "+host); resp.StatusCode != want {
			t.Errorf("%q: %d, want %d", host, resp.StatusCode, want)
		}
	}
	f("127.0.0.1:9901", 200)
	f("10.0.0.1", 200)
	f("[::1]:9901", 200)
	f("localhost:9901", 200)
	f("gateway.internal:9901", 200)
	f("GATEWAY.internal", 200)
	f("gateway.example", 200) // one of admin.hosts
	f("www.gateway.example", 421)
	f("rebound.example:9901", 421) // DNS rebinding: a foreign name for our address
	f("127.0.0.1.rebound.example", 421)
	f("localhost.rebound.example:9901", 421)
	f("gateway.internal.rebound.example", 421)
}

func TestReadOnlyWithoutAToken(t *testing.T) {
	d := newTestDoor("")
	for path, want := range map[string]int{"/cluster": 403, "/login": 403, "/logout": 403} {
		if resp := d.send("POST", path, "token=", ownOrigin, "Authorization: Bearer "); resp.StatusCode != want {
			t.Errorf("POST %s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestSecurityHeadersAreOnEveryAnswer(t *testing.T) {
	d := newTestDoor(secret)
	for _, resp := range []*http.Response{
		d.send("GET", "/login", ""), d.send("GET", "/cluster", ""), d.send("GET", "/cluster", "", "Authorization: Bearer "+secret),
		d.send("GET", "/", "", "Host: evil.example"), d.send("POST", "/login", "token=x", ownOrigin),
	} {
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Frame-Options": "DENY", "Content-Security-Policy": policy,
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%d: %s is %q, want %q", resp.StatusCode, name, got, want)
			}
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Error("the policy allows inline code")
	}
}

// Whoever tries tokens must not fill the log with it.
func TestFailedLoginsAreLoggedAtABoundedRate(t *testing.T) {
	d := newTestDoor(secret)
	for range 1000 {
		d.send("GET", "/cluster", "", "Authorization: Bearer "+secret2)
	}
	if n := strings.Count(d.logs.String(), "wrong admin token"); n < 1 || n > 50 {
		t.Errorf("%d lines for 1000 attempts", n)
	}
}
