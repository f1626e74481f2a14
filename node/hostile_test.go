package node

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Every request here can be read in two ways, or is meant to cost more than it
// should. Each ends in an answer of the gateway's own; none reaches the upstream.
func TestHostileRequestsAreRefused(t *testing.T) {
	n := startIn(t.Context(), t, streamRoutes, "drain_delay_ms: 0, read_timeout_ms: 300")
	const post, get = "POST /open/x HTTP/1.1\r\nHost: a\r\n", "GET /open/x HTTP/1.1\r\nHost: a\r\n"
	f := func(what string, status int, code, request string) {
		t.Helper()
		resp := n.raw(request)
		checkProblem(t, resp, status, code)
		if got := n.hits.Load(); got != 0 {
			t.Errorf("%s reached the upstream %d times", what, got)
		}
	}
	f("length and encoding", 400, "bad-request", post+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f("encoding and length", 400, "bad-request", post+"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n")
	f("length and identity", 400, "bad-request", post+"Content-Length: 5\r\nTransfer-Encoding: identity\r\n\r\nhello")
	f("two lengths", 400, "bad-request", post+"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello")
	f("two equal lengths", 400, "bad-request", post+"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello")
	f("a list of lengths", 400, "bad-request", post+"Content-Length: 5, 5\r\n\r\nhello")
	f("a signed length", 400, "bad-request", post+"Content-Length: +5\r\n\r\nhello")
	f("a negative length", 400, "bad-request", post+"Content-Length: -5\r\n\r\nhello")
	f("a length out of range", 400, "bad-request", post+"Content-Length: 99999999999999999999\r\n\r\nhello")
	f("an unknown encoding", 400, "bad-request", post+"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")
	f("two encodings", 400, "bad-request", post+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f("a stacked encoding", 400, "bad-request", post+"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
	f("space before the colon", 400, "bad-request", post+"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n")
	f("encoding in HTTP/1.0", 400, "bad-request", "POST /open/x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f("a broken chunk", 400, "bad-request", post+"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n")
	f("a bare LF in a chunk extension", 400, "bad-request", post+"Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n")
	f("a chunk longer than it says", 400, "bad-request", post+"Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n")
	f("a trailer that may not be one", 400, "bad-request", post+"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nContent-Length: 5\r\n\r\n")
	f("two hosts", 400, "bad-request", get+"Host: b\r\n\r\n")
	f("no host", 400, "bad-request", "GET /open/x HTTP/1.1\r\n\r\n")
	f("a user in Host", 400, "bad-request", "GET /open/x HTTP/1.1\r\nHost: u:p@a\r\n\r\n")
	f("a path in Host", 400, "bad-request", "GET /open/x HTTP/1.1\r\nHost: a/b\r\n\r\n")
	f("a URL for another host", 400, "bad-request", "GET http://evil.example/open/x HTTP/1.1\r\nHost: a\r\n\r\n")
	f("a host in the path", 400, "bad-request", "GET //evil.example/open/x HTTP/1.0\r\n\r\n")
	f("the whole server", 400, "bad-request", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
	f("an authority", 400, "bad-request", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
	f("a user in the URL", 400, "bad-request", "GET http://u:p@a/open/x HTTP/1.1\r\nHost: a\r\n\r\n")
	f("a folded line", 400, "bad-request", get+"X-Long: one\r\n two\r\n\r\n")
	f("a folded first line", 400, "bad-request", "GET /open/x HTTP/1.1\r\n Host: a\r\n\r\n")
	f("a line that ends in LF", 400, "bad-request", get+"X-Bare: 1\nX-Next: 2\r\n\r\n")
	f("a CR in a value", 400, "bad-request", get+"X-Bad: a\rb\r\n\r\n")
	f("a NUL in a value", 400, "bad-request", get+"X-Bad: a\x00b\r\n\r\n")
	f("a space in a name", 400, "bad-request", get+"X Bad: 1\r\n\r\n")
	f("no name", 400, "bad-request", get+": 1\r\n\r\n")
	f("no colon", 400, "bad-request", get+"X-Bad\r\n\r\n")
	f("a space in the target", 400, "bad-request", "GET /open/x y HTTP/1.1\r\nHost: a\r\n\r\n")
	f("no version", 400, "bad-request", "GET /open/x\r\nHost: a\r\n\r\n")
	f("a version that is none", 400, "bad-request", "GET /open/x HTTP/9\r\nHost: a\r\n\r\n")
	f("HTTP/2.0 in words", 505, "version", "GET /open/x HTTP/2.0\r\nHost: a\r\n\r\n")
	f("HTTP/1.2", 505, "version", "GET /open/x HTTP/1.2\r\nHost: a\r\n\r\n")
	f("an unknown method", 501, "method-unknown", "BREW /open/x HTTP/1.1\r\nHost: a\r\n\r\n")
	f("a header bomb", 431, "headers-too-large", get+"X-Big: "+strings.Repeat("x", 4096)+"\r\n\r\n")
	f("many headers", 431, "headers-too-large", get+strings.Repeat("X-A: 1\r\n", 1000)+"\r\n")
	f("a long target", 431, "headers-too-large", "GET /open/"+strings.Repeat("x", 4096)+" HTTP/1.1\r\nHost: a\r\n\r\n")
	f("a declared body bomb", 413, "body-too-large", post+"Content-Length: 999999999999\r\n\r\n")
	f("a chunked body bomb", 413, "body-too-large", post+"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n"+strings.Repeat("x", 1001))
	f("a trailer bomb", 431, "headers-too-large",
		post+"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Big: "+strings.Repeat("x", 4096)+"\r\n\r\n")
	f("an endless header", 408, "request-timeout", get+"X-Never: ends")
	f("an endless block", 408, "request-timeout", "GET /open/x HTTP/1.1\nHost: a\n\n")
	f("an endless chunk extension", 408, "request-timeout", post+"Transfer-Encoding: chunked\r\n\r\n5;"+strings.Repeat("x", 10_000))
}

// What is odd but has one meaning is forwarded, in plain words.
func TestOddRequestsAreForwardedPlainly(t *testing.T) {
	n := start(t, streamRoutes)
	f := func(request, wantTarget string, check func(*http.Request)) {
		t.Helper()
		if resp := n.raw(request); resp.StatusCode != 200 {
			t.Errorf("%q: status %d", request, resp.StatusCode)
			return
		}
		seen := n.seen.Load()
		if seen.RequestURI != wantTarget {
			t.Errorf("%q: the upstream got %s, want %s", request, seen.RequestURI, wantTarget)
		}
		if check != nil {
			check(seen)
		}
	}
	f("GET http://a/open/x?y=1 HTTP/1.1\r\nHost: A\r\n\r\n", "/x?y=1", nil)
	f("GET /open/x HTTP/1.1\r\nhost: a\r\n\r\n", "/x", nil)
	f("\r\nGET /open/x HTTP/1.1\r\nHost: a\r\n\r\n", "/x", nil)
	f("GET /open/x HTTP/1.0\r\n\r\n", "/x", nil)
	f("GET /open/x HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n\r\n", "/x", func(r *http.Request) {
		if r.Header.Get("Upgrade") != "" || r.Header.Get("Connection") != "" || r.Header.Get("Http2-Settings") != "" {
			t.Errorf("the upstream got %v", r.Header)
		}
	})
	f("GET /open/x HTTP/1.1\r\nHost: a\r\nx_real_ip: 6.6.6.6\r\nX_Own: 1\r\n\r\n", "/x", func(r *http.Request) {
		if fmt.Sprint(r.Header["X_real_ip"], r.Header["X_own"]) != "[] [1]" {
			t.Errorf("the upstream got %v", r.Header)
		}
	})
}

// A client of HTTP/2 that does not ask first hears what is wrong in HTTP/2.
func TestHTTP2PrefaceIsAnswered(t *testing.T) {
	n := start(t, streamRoutes)
	conn, r := n.dial()
	_, _ = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	got, err := io.ReadAll(r)
	if err != nil || string(got) != goAway {
		t.Errorf("got %q, %v, want %q", got, err, goAway)
	}
	if frame := []byte(goAway)[9:]; int(frame[2])+9 != len(frame) || frame[3] != 7 || frame[16] != 13 {
		t.Errorf("%q is no GOAWAY with HTTP_1_1_REQUIRED", frame)
	}
	eventually(t, "the refusal in the log", func() bool { return strings.Contains(n.logs.String(), `"status":505`) })
}

func TestConnectionsOfOneClientAreBounded(t *testing.T) {
	n := startIn(t.Context(), t, streamRoutes, "drain_delay_ms: 0, max_connections_per_client: 3")
	var conns []net.Conn
	for range 3 {
		conn, r := n.dial()
		fmt.Fprintf(conn, "GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
			t.Fatalf("got %v, %v", resp, err)
		}
		conns = append(conns, conn)
	}
	_, r := n.dial()
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 429 || !resp.Close {
		t.Fatalf("the fourth connection got %v, %v", resp, err)
	}
	if body, _ := io.ReadAll(resp.Body); !bytes.Contains(body, []byte("too-many-connections")) {
		t.Errorf("it was told %s", body)
	}
	_ = conns[0].Close()
	eventually(t, "a free place", func() bool { return n.data.connections() == 2 })
	conn, r := n.dial()
	fmt.Fprintf(conn, "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	all, _ := io.ReadAll(r)
	for _, want := range []string{"gateway_connections_refused_total 1", "gateway_connections_open 3", "gateway_tunnels_open 0"} {
		if !strings.Contains(string(all), want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// A balancer is not a client: all of them come through it.
func TestTrustedProxiesMayHaveAnyNumberOfConnections(t *testing.T) {
	n := startIn(t.Context(), t, streamRoutes, "drain_delay_ms: 0, max_connections_per_client: 1, trusted_proxies: [127.0.0.1]")
	for range 3 {
		conn, r := n.dial()
		fmt.Fprintf(conn, "GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
			t.Fatalf("got %v, %v", resp, err)
		}
	}
}

func TestOneClient(t *testing.T) {
	f := func(a, b string, same bool) {
		t.Helper()
		if got := oneClient(netip.MustParseAddr(a), 64) == oneClient(netip.MustParseAddr(b), 64); got != same {
			t.Errorf("%s and %s: one client is %v", a, b, got)
		}
	}
	f("10.0.0.1", "10.0.0.1", true)
	f("10.0.0.1", "10.0.0.2", false)
	f("2001:db8::1", "2001:db8::2", true)
	f("2001:db8::1", "2001:db8:0:1::1", false)
	f("fe80::1%eth0", "fe80::2%eth1", true)
}

// Two requests on one connection, the first of which is refused with its body
// unread: what is left of it must not be taken for the second.
func TestRefusedBodyIsNotTheNextRequest(t *testing.T) {
	n := start(t, streamRoutes)
	conn, r := n.dial()
	smuggled := "GET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	fmt.Fprintf(conn, "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(smuggled), smuggled)
	fmt.Fprintf(conn, "GET /open/second HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	for _, want := range []int{404, 200} {
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("got %v, %v, want %d", resp, err, want)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	if n.hits.Load() != 1 || n.seen.Load().URL.Path != "/second" {
		t.Errorf("the upstream got %d requests, the last %s", n.hits.Load(), n.seen.Load().URL)
	}
}

func FuzzWellFramed(f *testing.F) {
	f.Add("Host: a\r\nContent-Length: 1\r\n\r\n")
	f.Add("Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n")
	f.Add("A: b\r\n c\r\n\r\n")
	f.Add("A: b\n\r\n")
	f.Fuzz(func(t *testing.T, raw string) {
		names, err := wellFramed([]byte(raw))
		if err != nil {
			return
		}
		// What passes, net/http reads the same way: as many fields, no fold, no
		// bare LF, one framing.
		r := bufio.NewReader(strings.NewReader("GET / HTTP/1.1\r\n" + raw))
		req, err := http.ReadRequest(r)
		if err != nil {
			return // it is refused elsewhere too
		}
		for name := range req.Header {
			if !names.may(name) {
				t.Errorf("%q: %s is not seen", raw, name)
			}
		}
		if len(req.TransferEncoding) > 0 && strings.Contains(strings.ToLower(raw), "\ncontent-length:") {
			t.Errorf("%q passes with both framings", raw)
		}
	})
}
