package proxy

import (
	"bufio"
	"net/netip"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// sent forwards the request and returns what the upstream received.
func sent(t *testing.T, raw string, change ...func(*Exchange)) string {
	t.Helper()
	up := newBackend(t, always(ok))
	u := newTestBackends(t, Options{}).Upstream(configFor(up.url))
	x := newExchange(t, raw)
	for _, f := range change {
		f(x)
	}
	forward(t, u, x)
	return up.last(t)
}

// field returns all values of a header field, joined by " | ".
func field(head, name string) string {
	var values []string
	for line := range strings.SplitSeq(head, "\n") {
		if key, value, ok := strings.Cut(line, ": "); ok && strings.EqualFold(key, name) {
			values = append(values, value)
		}
	}
	return strings.Join(values, " | ")
}

func TestRequestHopByHop(t *testing.T) {
	f := func(name string, headers ...string) {
		t.Helper()
		head := sent(t, get("/", append(headers, "X-Kept: yes")...))
		if got := field(head, name); got != "" {
			t.Errorf("%q: the upstream got %s: %s", headers, name, got)
		}
		if field(head, "X-Kept") != "yes" {
			t.Errorf("%q: X-Kept is lost", headers)
		}
	}
	f("Connection", "Connection: keep-alive, X-Hop", "X-Hop: 1")
	f("X-Hop", "Connection: keep-alive, X-Hop", "X-Hop: 1")
	f("X-Hop", "Connection: a", "connection: x-hop", "X-Hop: 1", "X-Hop: 2")
	f("Keep-Alive", "Keep-Alive: timeout=5")
	f("Proxy-Connection", "Proxy-Connection: keep-alive")
	f("Proxy-Authorization", "Proxy-Authorization: Basic eA==")
	f("TE", "TE: gzip, trailers")
	f("Upgrade", "Upgrade: h2c")
	f("HTTP2-Settings", "HTTP2-Settings: x")
	f("Proxy_Authorization", "Proxy_Authorization: Basic eA==")
	f("Keep_Alive", "keep_alive: timeout=5")
	f("Expect", "Expect: 100-continue")
	f("X-Hop", "Connection: X-Real-IP,, X-Hop ,", "X-Hop: 1")
}

func TestConnectionCannotTakeFraming(t *testing.T) {
	head := sent(t, "POST / HTTP/1.1\r\nHost: shop.example\r\nConnection: Host, Content-Length\r\nContent-Length: 2\r\n\r\nhi")
	if field(head, "Content-Length") != "2" || !strings.HasSuffix(head, "\n\nhi") || field(head, "Host") == "" {
		t.Errorf("got %q", head)
	}
}

func TestIdentityHeaders(t *testing.T) {
	identity := func(x *Exchange) {
		x.Headers = []Header{{"X-User-ID", "alice"}}
		x.Remove = []string{"X-Role"}
	}
	f := func(headers ...string) {
		t.Helper()
		head := sent(t, get("/", headers...), identity)
		if got := field(head, "X-User-ID"); got != "alice" {
			t.Errorf("%q: X-User-ID is %q", headers, got)
		}
		if strings.Contains(head, "mallory") {
			t.Errorf("%q: the client's word reached the upstream:\n%s", headers, head)
		}
	}
	f()
	f("X-User-ID: mallory")
	f("x-user-id: mallory", "X-USER-ID: mallory")
	f("X_User_ID: mallory")
	f("X-User_Id: mallory")
	f("Connection: X-User-ID", "X-User-ID: mallory")
	f("X-Role: mallory")
	f("X_Role: mallory")
	f("Trailer: X-User-ID")
}

// What the operator sets or removes no client says after its body, where some
// servers read headers too.
func TestTrailersCannotGoRoundTheRules(t *testing.T) {
	up := newBackend(t, always(ok))
	u := newTestBackends(t, Options{}).Upstream(configFor(up.url, func(c *UpstreamConfig) {
		c.RequestHeaders = HeaderRules{Remove: []string{"X-Debug"}, Set: map[string]string{"X-Env": "live"}}
	}))
	x := newExchange(t, "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\nTrailer: X-Debug, X-Sum\r\n\r\n"+
		"0\r\nX-Debug: 1\r\nX-Env: test\r\nX-Sum: 42\r\n\r\n")
	forward(t, u, x)
	if got := strings.Join(up.received(), ""); strings.Contains(got, "X-Debug") || field(got, "X-Env") != "live" || field(got, "Trailer") != "X-Sum" {
		t.Errorf("the upstream got %q", got)
	}
	x.Request.Header.Set("X-Env", "test") // as it arrives after a body that is streamed
	_ = x.Request.Header.AddTrailer("X-Env")
	if x.PruneTrailers(); strings.Contains(x.Request.Header.String(), "test") {
		t.Errorf("would be sent: %q", &x.Request.Header)
	}
}

func TestTrailersCannotForgeHeaders(t *testing.T) {
	f := func(announced, kept string) {
		t.Helper()
		raw := "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n" + announced + "\r\n" +
			"2\r\nhi\r\n0\r\nX-User-ID: mallory\r\nX-Role: mallory\r\nTraceparent: mallory\r\nX-Sum: 1\r\n\r\n"
		up := newBackend(t, always(ok))
		x := newExchange(t, raw)
		x.Headers, x.Remove, x.Trace = []Header{{"X-User-ID", "alice"}}, []string{"X-Role"}, identifiers(1)
		forward(t, newTestBackends(t, Options{}).Upstream(configFor(up.url)), x)
		got := strings.Join(up.received(), "")
		if field(got, "X-User-ID") != "alice" || strings.Contains(got, "mallory") || field(got, "Trailer") != kept {
			t.Errorf("%q: got %q", announced, got)
		}
	}
	f("Trailer: X-User-ID, X-Role, X-Sum, Traceparent\r\n", "X-Sum")
	f("Trailer: X-Sum\r\n", "X-Sum")
	f("", "X-Sum") // fasthttp announces what came unannounced
}

func TestNamesThatAreNotTokens(t *testing.T) {
	x := newExchange(t, get("/", "X-Kept: yes"))
	x.Request.Header.DisableNormalizing()
	x.Request.Header.Set("X Forwarded For", "mallory")
	x.Request.Header.Set("x@y", "mallory")
	x.Request.Header.EnableNormalizing()
	(&Upstream{}).cleanRequest(x)
	if head := x.Request.Header.String(); strings.Contains(head, "mallory") || !strings.Contains(head, "X-Kept: yes") {
		t.Errorf("got %q", head)
	}
}

func TestForwardedHeaders(t *testing.T) {
	inbound := []string{
		"X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2", "X-Forwarded-Proto: https",
		"X-Forwarded-Host: public.example", "X-Forwarded-Prefix: /p", "X-Real-IP: 6.6.6.6",
		"Forwarded: for=6.6.6.6", "X_Forwarded_For: 6.6.6.6",
	}
	f := func(trusted bool, name, want string) {
		t.Helper()
		head := sent(t, get("/", inbound...), func(x *Exchange) { x.TrustedPeer = trusted })
		if got := field(head, name); got != want {
			t.Errorf("trusted %v: %s is %q, want %q", trusted, name, got, want)
		}
		if strings.Contains(head, "6.6.6.6") {
			t.Errorf("trusted %v: a forged address reached the upstream:\n%s", trusted, head)
		}
	}
	f(false, "X-Forwarded-For", "10.0.0.7")
	f(false, "X-Forwarded-Proto", "http")
	f(false, "X-Forwarded-Host", "shop.example")
	f(false, "X-Forwarded-Port", "80")
	f(false, "X-Forwarded-Prefix", "")
	f(false, "X-Real-IP", "203.0.113.9")
	f(true, "X-Forwarded-For", "192.0.2.1, 192.0.2.2, 10.0.0.7")
	f(true, "X-Forwarded-Proto", "https")
	f(true, "X-Forwarded-Host", "public.example")
	f(true, "X-Forwarded-Port", "443")
	f(true, "X-Forwarded-Prefix", "/p")
	f(true, "X-Real-IP", "203.0.113.9")
	f(true, "Forwarded", "")
}

func TestRequestIDAndTrace(t *testing.T) {
	up := newBackend(t, always(ok))
	u := newTestBackends(t, Options{}).Upstream(configFor(up.url))
	x := newExchange(t, get("/", "traceparent: 00-old", "tracestate: old", "X-Request-ID: old", "X_Request_ID: old"))
	x.RequestID, x.Trace = "id-1", identifiers(0xab)
	forward(t, u, x)
	head := up.last(t)
	want := "00-ab" + strings.Repeat("0", 30) + "-ab" + strings.Repeat("0", 14) + "-01"
	if field(head, "X-Request-ID") != "id-1" || field(head, "traceparent") != want || strings.Contains(head, "old") {
		t.Errorf("got:\n%s", head)
	}
}

func TestNothingIsInvented(t *testing.T) {
	head := sent(t, "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 2\r\n\r\nhi")
	for _, name := range []string{"Content-Type", "User-Agent", "Authorization", "Accept-Encoding"} {
		if got := field(head, name); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestUserinfoDoesNotBecomeAuthorization(t *testing.T) {
	f := func(line string) {
		t.Helper()
		head := sent(t, line, func(x *Exchange) {
			_ = x.Request.URI().Username() // parsed, as by anything that looks at the path
			x.Path = "/p"
		})
		if got := field(head, "Authorization"); got != "" {
			t.Errorf("%q: Authorization: %s", line, got)
		}
		if !strings.HasPrefix(head, "GET /p HTTP/1.1\n") {
			t.Errorf("%q: got %q", line, head)
		}
	}
	f("GET http://us:pw@evil.example/p HTTP/1.1\r\nHost: evil.example\r\n\r\n")
	f("GET /p HTTP/1.1\r\nHost: us:pw@shop.example\r\n\r\n")
}

func TestClientsConnectionCloseStaysHere(t *testing.T) {
	f := func(raw string) {
		t.Helper()
		up := newBackend(t, always(ok))
		u := newTestBackends(t, Options{}).Upstream(configFor(up.url))
		for range 3 {
			forward(t, u, newExchange(t, raw))
		}
		head := up.last(t)
		if field(head, "Connection") != "" || !strings.Contains(head, " HTTP/1.1\n") || up.connections() != 1 {
			t.Errorf("%q: %d connections, got:\n%s", raw, up.connections(), head)
		}
	}
	f(get("/", "Connection: close"))
	f("GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n")
}

func TestResponseHopByHop(t *testing.T) {
	f := func(response string) {
		t.Helper()
		up := newBackend(t, always(response))
		x := newExchange(t, get("/"))
		forward(t, newTestBackends(t, Options{}).Upstream(configFor(up.url)), x)
		x.Response.Header.SetNoDefaultContentType(true)
		head := x.Response.Header.String()
		for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Upgrade", "X-Hop", "Content-Type"} {
			if got := field(strings.ReplaceAll(head, "\r", ""), name); got != "" {
				t.Errorf("%q: %s: %s", response, name, got)
			}
		}
		if !strings.HasPrefix(head, "HTTP/1.1 200 ") || !strings.Contains(head, "X-Kept: yes") || string(x.Response.Body()) != "ok" {
			t.Errorf("%q: got %q %q", response, head, x.Response.Body())
		}
	}
	f("HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nX-Kept: yes\r\nContent-Length: 2\r\n\r\nok")
	f("HTTP/1.1 200 OK\r\nConnection: close\r\nX-Kept: yes\r\nContent-Length: 2\r\n\r\nok")
	f("HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-Kept: yes\r\nContent-Length: 2\r\n\r\nok")
	f("HTTP/1.0 200 OK\r\nX-Kept: yes\r\nUpgrade: h2c\r\nProxy-Authenticate: x\r\nContent-Length: 2\r\n\r\nok")
	f("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nX-Kept: yes\r\nContent-Length: 2\r\n\r\nok")
}

func TestResponsesWithoutBody(t *testing.T) {
	f := func(method, response string, status, length int) {
		t.Helper()
		up := newBackend(t, always(response))
		u := newTestBackends(t, Options{}).Upstream(configFor(up.url))
		for range 2 {
			x := newExchange(t, request(method, "/"))
			forward(t, u, x)
			if x.Response.StatusCode() != status || x.Response.Header.ContentLength() != length || len(x.Response.Body()) != 0 {
				t.Errorf("%s: got %d, length %d, body %q", method, x.Response.StatusCode(), x.Response.Header.ContentLength(), x.Response.Body())
			}
		}
		if up.connections() != 1 {
			t.Errorf("%s %d: %d connections, want 1", method, status, up.connections())
		}
	}
	f("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n", 200, 42)
	f("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 42\r\n\r\n", 304, 42)
	f("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, -2) // none
}

func TestTarget(t *testing.T) {
	f := func(base, strip, raw, want string) {
		t.Helper()
		up := newBackend(t, always(ok))
		u := newTestBackends(t, Options{}).Upstream(configFor(up.url+base, func(c *UpstreamConfig) { c.StripPrefix = strip }))
		forward(t, u, newExchange(t, get(raw)))
		head := up.last(t)
		if line, _, _ := strings.Cut(head, "\n"); line != "GET "+want+" HTTP/1.1" {
			t.Errorf("%s + %s - %s: got %q, want %s", base, raw, strip, line, want)
		}
		if field(head, "Host") != up.addr {
			t.Errorf("Host is %q, want %q", field(head, "Host"), up.addr)
		}
	}
	f("", "", "/a/b", "/a/b")
	f("", "", "/a%3Bb?x=%2F..%2f&y=+", "/a%3Bb?x=%2F..%2f&y=+")
	f("", "", "/a?", "/a?")
	f("/", "", "/a", "/a")
	f("/base/", "", "/a", "/base/a")
	f("/base", "/api", "/api", "/base/")
	f("", "/api/users", "/api/users", "/")
	f("", "/api/users", "/api/users/", "/")
	f("", "/api/users", "/api/users/1?q", "/1?q")
	f("", "/api/users/", "/api/users/1", "/1")
	f("", "/api/users", "/api/usersX", "/api/usersX")
	f("", "/", "/a", "/a")
}

func FuzzRewrite(f *testing.F) {
	f.Add("GET /a HTTP/1.1\r\nHost: h\r\nConnection: x-user-id, close\r\nX_User_ID: mallory\r\nX Y: 1\r\n\r\n")
	f.Add("POST / HTTP/1.0\r\nHost: u:p@h\r\nTransfer-Encoding: chunked\r\nTrailer: X-User-ID\r\n\r\n0\r\nX-User-ID: mallory\r\n\r\n")
	f.Add("PUT http://u:p@h/?q HTTP/1.1\r\nHost: h\r\nTE: x\r\nContent-Length: 1\r\nCookie: a=b\r\nCookie: c\r\n\r\nx")
	f.Add("GET / HTTP/1.1\r\nHost: h\r\nTrAiler: 0, X_Gate\r\n\r\n")
	f.Add("GET / HTTP/1.1\r\nHost: h\r\nX_Gate: mallory\r\nConnection: X-Gate\r\nx-drop: 1\r\nX_Drop: 1\r\n\r\n")
	u := &Upstream{headers: NewHeaderChange(HeaderRules{Set: map[string]string{"X-Gate": "open"}, Remove: []string{"X-Drop"}})}
	f.Fuzz(func(t *testing.T, raw string) {
		x := &Exchange{via: u, Request: &fasthttp.Request{}, Path: "/p", Headers: []Header{{"X-User-ID", "alice"}}, Remove: []string{"X-Role"}}
		if err := x.Request.Read(bufio.NewReader(strings.NewReader(raw))); err != nil {
			return
		}
		u.rewrite(x)
		u.setTarget(x, address{authority: "users:80", base: "/base"})
		var out strings.Builder
		w := bufio.NewWriter(&out)
		if err := x.Request.Write(w); err != nil {
			return
		}
		_ = w.Flush()
		head, _, _ := strings.Cut(out.String(), "\r\n\r\n")
		checkRewritten(t, x, strings.Split(head, "\r\n"))
	})
}

func checkRewritten(t *testing.T, x *Exchange, lines []string) {
	t.Helper()
	if fields := strings.Split(lines[0], " "); len(fields) != 3 || !strings.HasPrefix(fields[1], "/base/p") || fields[2] != "HTTP/1.1" {
		t.Fatalf("request line %q", lines[0])
	}
	count := map[string]int{}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		if !isToken([]byte(name)) {
			t.Fatalf("not a token: %q", line)
		}
		name = dashed(name)
		count[name]++
		switch name {
		case "trailer":
			for announced := range strings.SplitSeq(value, ", ") {
				if !x.mayTrail([]byte(announced)) {
					t.Fatalf("%q was passed on", line)
				}
			}
		case "connection", "keep-alive", "te", "upgrade", "expect", "proxy-authorization", "x-role", "x-drop", "forwarded", "x-real-ip":
			t.Fatalf("%q was passed on", line)
		case "x-user-id":
			if value != "alice" {
				t.Fatalf("got %q", line)
			}
		case "x-gate":
			if value != "open" {
				t.Fatalf("got %q", line)
			}
		}
	}
	if count["x-user-id"] != 1 || count["x-gate"] != 1 || count["host"] != 1 || count["content-length"] > 1 {
		t.Fatalf("got %v", count)
	}
}

// Cookies are the application's: fasthttp would drop what it takes for malformed.
func TestCookiesPassAsTheyCame(t *testing.T) {
	f := func(want string, headers ...string) {
		t.Helper()
		if got := field(sent(t, get("/", headers...)), "Cookie"); got != want {
			t.Errorf("%q: the upstream got %q, want %q", headers, got, want)
		}
	}
	f(`a=1; b=2`, `Cookie: a=1; b=2`)
	f(`a=1; b={"k":"v"}; c=2`, `Cookie: a=1; b={"k":"v"}; c=2`)
	f(`a="q; c=2`, `Cookie: a="q; c=2`)
	f(`s="1"`, `Cookie: s="1"`)
	f(`=v`, `Cookie: =v`)
	f(`a=1; b=2`, `Cookie: a=1`, `cookie: b=2`)
	f(``, `X-Other: 1`)
	f(``, `Cookie: a=1`, `Connection: cookie`)
}

// Servers that map _ to - must not find a second framing or a second identity.
func TestUnderscoredFramingIsDropped(t *testing.T) {
	f := func(name string) {
		t.Helper()
		if head := sent(t, get("/", name+": 9")); strings.Contains(strings.ToLower(head), strings.ToLower(name)) {
			t.Errorf("the upstream got %q", head)
		}
	}
	f("Content_Length")
	f("Transfer_Encoding")
}

// BenchmarkRewrite is a browser's request on its way to the upstream.
func BenchmarkRewrite(b *testing.B) {
	const raw = "GET /api/1?a=b HTTP/1.1\r\nHost: a.example\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nAccept-Encoding: gzip, br\r\n" +
		"Accept-Language: en\r\nCookie: a=1; b=2\r\nAuthorization: Bearer x\r\nConnection: keep-alive\r\n\r\n"
	u := &Upstream{}
	request, reader := &fasthttp.Request{}, bufio.NewReader(nil)
	ids, drop := []Header{{"X-User-ID", "alice"}}, []string{"X-User-ID", "Authorization"}
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(strings.NewReader(raw))
		if err := request.Read(reader); err != nil {
			b.Fatal(err)
		}
		x := &Exchange{
			via: u, Request: request, Path: "/api/1", Headers: ids, Remove: drop, RequestID: "0123456789abcdef",
			Host: "a.example", Scheme: "http", Peer: netip.MustParseAddr("192.0.2.1"), Client: netip.MustParseAddr("192.0.2.1"),
		}
		u.rewrite(x)
	}
}
