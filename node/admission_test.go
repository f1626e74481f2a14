package node

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/auth"
)

func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// waysIn is a configuration with every way in. The API key is "the-key".
var waysIn = `
jwt: {secret: "${SECRET}", cookie: session, forward_claims: {sub: X-User-ID, tenant: X-Tenant}, forward_token: false}
api_keys: [{name: billing, hash: "` + hashOf("the-key") + `", scope: "orders:read", claims: {tenant: acme}}]
routes:
  - {path: "/users/*", upstream: "${UPSTREAM}", auth_required: true}
  - {path: "/maybe/*", upstream: "${UPSTREAM}", auth_optional: true}
  - {path: "/orders/*", upstream: "${UPSTREAM}", auth_required: true, require: {scope: "orders:read", claims: {tenant: acme}}}
  - {path: "/open/*", upstream: "${UPSTREAM}"}
`

// bare is a good token without its header.
func bare(t *testing.T) string {
	t.Helper()
	return strings.TrimPrefix(token(t, nil, 0), "Authorization: Bearer ")
}

func TestWaysIn(t *testing.T) {
	n := start(t, waysIn)
	good := bare(t)
	f := func(path string, status int, user string, headers ...string) {
		t.Helper()
		n.seen.Store(nil)
		resp := n.do("GET", path, headers...)
		seen := n.seen.Load()
		if resp.StatusCode != status || (seen != nil) != (status == 200) {
			t.Errorf("%s %.40q: status %d, want %d", path, headers, resp.StatusCode, status)
			return
		}
		if seen != nil && strings.Join(seen.Header.Values("X-User-Id"), "|") != user {
			t.Errorf("%s %.40q: the upstream saw %q, want %q", path, headers, seen.Header.Values("X-User-Id"), user)
		}
	}
	f("/users/1", 401, "")
	f("/users/1", 200, "alice", "Authorization: Bearer "+good)
	f("/users/1", 200, "alice", "Cookie: a=b; session="+good+"; c=d")
	f("/users/1", 200, "alice", `Cookie: session="`+good+`"`)
	f("/users/1", 401, "", "Cookie: Session="+good) // names of cookies are exact
	f("/users/1", 401, "", "Cookie: xsession="+good)
	f("/users/1", 401, "", "Cookie: session=; a=b")
	f("/users/1", 401, "", "Cookie: session=x.y.z")
	f("/users/1", 200, "key:billing", "X-API-Key: the-key")
	f("/users/1", 401, "", "X-API-Key: another")
	f("/users/1", 401, "", "X_API_Key: the-key")
	f("/users/1", 400, "", "X-API-Key: the-key", "x-api-key: another")
	f("/users/1", 400, "", "Authorization: Bearer "+good, "Authorization: Basic YTpi")
	f("/users/1", 400, "", "Cookie: session="+good+"; session=x") // a cookie tossed in by a sibling domain
	f("/users/1", 400, "", "Cookie: session="+good, "Cookie: session=x")
	f("/maybe/1", 200, "")
	f("/maybe/1", 200, "alice", "Authorization: Bearer "+good)
	f("/maybe/1", 401, "", "Authorization: Bearer x.y.z")
	f("/maybe/1", 401, "", "X-API-Key: another")
	f("/orders/1", 403, "", "Authorization: Bearer "+good)
	f("/orders/1", 200, "key:billing", "X-API-Key: the-key")
	f("/orders/1", 401, "")
	f("/open/1", 200, "", "Authorization: Bearer x.y.z")

	resp := n.do("GET", "/orders/1", "Authorization: Bearer "+good, "X-Request-ID: forbidden-1")
	checkProblem(t, resp, 403, "forbidden")
	if got := resp.Header.Get("Www-Authenticate"); !strings.Contains(got, `error="insufficient_scope"`) {
		t.Errorf("WWW-Authenticate is %q", got)
	}
	if line := n.logs.wait(t, "forbidden-1"); !strings.Contains(line, `"user":"alice"`) {
		t.Errorf("the log does not name who was turned away: %s", line)
	}
}

// With forward_token: false the upstream gets the claims and no credentials; an
// API key never reaches it.
func TestCredentialsAreDropped(t *testing.T) {
	n := start(t, waysIn)
	good := bare(t)
	f := func(path string, want string, headers ...string) {
		t.Helper()
		if resp := n.do("GET", path, headers...); resp.StatusCode != 200 {
			t.Fatalf("%s %.40q: status %d", path, headers, resp.StatusCode)
		}
		h := n.seen.Load().Header
		got := fmt.Sprintf("%s; %s; %s", h.Get("Authorization"), strings.Join(h.Values("Cookie"), "|"), h.Get("X-Api-Key"))
		if got != want {
			t.Errorf("%s %.40q: the upstream saw %q, want %q", path, headers, got, want)
		}
	}
	f("/users/1", "; ; ", "Authorization: Bearer "+good)
	f("/users/1", "; a=b; c=d; ", "Cookie: a=b; session="+good+"; c=d")
	f("/users/1", `; a={"x":1}; c; `, `Cookie: a={"x":1}; session=`+good, "Cookie: c")
	f("/users/1", "; ; ", "Cookie: session="+good)
	f("/users/1", "; a=b; ", "X-API-Key: the-key", "Cookie: a=b")
	f("/maybe/1", "; ; ", "X-API-Key: the-key", "Authorization: Basic YTpi")
	f("/open/1", "Basic YTpi; session=x; ", "Authorization: Basic YTpi", "Cookie: session=x", "X-API-Key: the-key")

	n.write(strings.Replace(waysIn, "forward_token: false", "forward_token: true", 1))
	if err := n.Reload(); err != nil {
		t.Fatal(err)
	}
	f("/users/1", "Bearer "+good+"; ; ", "Authorization: Bearer "+good)
	f("/users/1", "; session="+good+"; ", "Cookie: session="+good)
	f("/users/1", "; ; ", "X-API-Key: the-key")
}

// The tricks by which a client's own word about its identity could arrive.
func TestHeaderTricks(t *testing.T) {
	n := start(t, waysIn)
	good := bare(t)
	f := func(trick string, headers ...string) {
		t.Helper()
		for _, path := range []string{"/users/1", "/maybe/1", "/open/1"} {
			n.seen.Store(nil)
			request := "GET " + path + " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + good + "\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
			resp := n.raw(request)
			seen := n.seen.Load()
			if seen == nil {
				if resp.StatusCode != 400 {
					t.Errorf("%s: status %d", trick, resp.StatusCode)
				}
				continue
			}
			want := "alice"
			if path == "/open/1" {
				want = ""
			}
			if got := strings.Join(seen.Header.Values("X-User-Id"), "|"); got != want {
				t.Errorf("%s on %s: the upstream saw X-User-ID %q, want %q", trick, path, got, want)
			}
			for name, values := range seen.Header {
				if name != "X-Other" && strings.Contains(fmt.Sprint(name, values), "mallory") { // text of another field is no trick
					t.Errorf("%s on %s: the upstream saw %s: %q", trick, path, name, values)
				}
			}
		}
	}
	f("own header", "X-User-ID: mallory")
	f("other case", "x-uSER-iD: mallory")
	f("twice", "X-User-ID: mallory", "X-User-ID: mallory")
	f("underscores", "X_User_ID: mallory")
	f("one underscore", "X-User_ID: mallory")
	f("a claim the token has not", "X-Tenant: mallory")
	f("named in Connection", "Connection: X-User-ID", "X-User-ID: mallory")
	f("Connection takes ours away", "Connection: close, X-User-ID")
	f("Connection takes the token away", "Connection: Authorization")
	f("as a trailer", "Trailer: X-User-ID")
	f("space before the colon", "X-User-ID : mallory")
	f("space inside the name", "X User ID: mallory")
	f("folded line", "X-Other: a\r\n X-User-ID: mallory")
	f("bare line feed", "X-Other: a\nX-User-ID: mallory")
	f("bare carriage return", "X-Other: a\rX-User-ID: mallory")
	f("NUL in the name", "X-User-ID\x00: mallory")
	f("forwarded address", "X-Forwarded-For: mallory", "Forwarded: for=mallory", "X-Real-IP: mallory", "X_Forwarded_For: mallory")
	f("forwarded host", "X-Forwarded-Host: mallory", "X-Forwarded-Proto: mallory", "X_Forwarded_Host: mallory")
}

// A request id, a path and a user are the client's words in our log.
func TestLogInjection(t *testing.T) {
	n := start(t, twoRoutes)
	forged := `","user":"root","x":"`
	n.do("GET", "/open/"+strings.ReplaceAll("a%0d%0a{%22user%22:%22root%22}", " ", ""), "X-Request-ID: first")
	n.do("GET", "/open/x", "X-Request-ID: a"+forged)
	n.raw("GET /open/x" + strings.ReplaceAll(forged, " ", "") + " HTTP/1.1\r\nHost: a\r\nX-Request-ID: last\r\n\r\n")
	n.logs.wait(t, `"request_id":"last"`)
	for line := range strings.Lines(n.logs.String()) {
		if strings.Contains(line, `"user":"root"`) || !strings.HasPrefix(line, "{") {
			t.Errorf("the log holds a forged line or field: %s", line)
		}
	}
}

// A node starts while the endpoint of the keys is away, and says so.
func TestKeysThatCannotBeHad(t *testing.T) {
	n := start(t, `
jwt: {jwks_url: "http://127.0.0.1:1/keys", algorithms: [RS256]}
routes: [{path: "/users/*", upstream: "${UPSTREAM}", auth_required: true}]
`)
	// {"alg":"RS256","kid":"a"} and {}
	checkProblem(t, n.do("GET", "/users/1", "Authorization: Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.AAAA"), 503, "keys-unavailable")
	checkProblem(t, n.do("GET", "/users/1", "Authorization: Bearer x"), 401, "token-invalid")
}

func TestProductionRefusesWeakness(t *testing.T) {
	f := func(text, env, want string) {
		t.Helper()
		lookup := func(name string) (string, bool) { return env, name == "GATEWAY_ENV" }
		_, err := (&Node{lookup: lookup}).parse([]byte(text))
		if got := fmt.Sprint(err); !strings.HasPrefix(got, want) {
			t.Errorf("%s in %q: got %q, want %q", text, env, got, want)
		}
	}
	const strong = "a-secret-of-more-than-thirty-two-bytes"
	f("jwt: {secret: "+auth.DevSecret+"}", "production", "jwt.secret: must be strong when GATEWAY_ENV=production: is the shipped one")
	f("jwt: {secret: short}", "production", "jwt.secret: must be strong when GATEWAY_ENV=production: is shorter than 32 bytes (5)")
	f("jwt: {secret: "+strong+", algorithms: [HS512]}", "production", "jwt.secret: must be strong when GATEWAY_ENV=production: is shorter than 64 bytes")
	f("jwt: {secret: "+strong+"}", "production", "<nil>")
	f("jwt: {secret: "+auth.DevSecret+"}", "development", "<nil>")
	f("jwt: {jwks_url: http://id.example/keys, algorithms: [RS256]}", "production", "jwt.jwks_url: must be https when GATEWAY_ENV=production")
	f("jwt: {jwks_url: http://id.example/keys, algorithms: [RS256]}", "", "<nil>")
	f("jwt: {public_key_file: /does/not/exist, algorithms: [RS256]}", "", "jwt.public_key_file: ")
}

func TestWeakSecretIsShown(t *testing.T) {
	n := start(t, "jwt: {secret: "+auth.DevSecret+"}\n"+twoRoutes)
	n.logs.wait(t, "INSECURE: jwt.secret is weak")
	gauge := func(want string) {
		t.Helper()
		body, err := n.metrics("")
		if err != nil || !strings.Contains(string(body.body), "\ngateway_weak_secret "+want+"\n") {
			t.Errorf("gateway_weak_secret is not %s (%v)", want, err)
		}
	}
	gauge("1")
	n.write(twoRoutes)
	if err := n.Reload(); err != nil {
		t.Fatal(err)
	}
	gauge("0")
}

// Problems are JSON, and nothing may take them for anything else.
func TestOwnPagesAreSafe(t *testing.T) {
	n := start(t, twoRoutes)
	for _, path := range []string{"/health", "/metrics", "/openapi.json", "/docs", "/nowhere", "/users/1"} {
		resp := n.do(http.MethodGet, path)
		if got := resp.Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options is %q", path, got)
		}
	}
	policy := n.do("GET", "/docs").Header.Get("Content-Security-Policy")
	scripts, _, _ := strings.Cut(policy[strings.Index(policy, "default-src"):], ";")
	if scripts != "default-src 'self'" || strings.Contains(policy, "script-src") {
		t.Errorf("/docs allows scripts by %q", policy)
	}
}

func TestCollectingCredentialsDoesNotAllocate(t *testing.T) {
	var h fasthttp.RequestHeader
	raw := "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x.y.z\r\nX-API-Key: the-key\r\nCookie: a=b; session=token\r\nAccept: */*\r\n\r\n"
	if err := h.Read(bufio.NewReader(strings.NewReader(raw))); err != nil {
		t.Fatal(err)
	}
	names, err := wellFramed(h.RawHeaders())
	if err != nil {
		t.Fatal(err)
	}
	shown, err := credentials(&h, names, "session")
	if err != nil || string(shown.Authorization) != "Bearer x.y.z" || string(shown.APIKey) != "the-key" || string(shown.Cookie) != "token" {
		t.Fatalf("got %q, %q, %q, %v", shown.Authorization, shown.APIKey, shown.Cookie, err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = credentials(&h, names, "session") }); n > 0 {
		t.Errorf("%g allocations", n)
	}
}
