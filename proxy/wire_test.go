package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/proxy/router"
)

// gateway serves u to clients, the way a node does, and returns its address.
func gateway(t *testing.T, u *Upstream) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		path, err := router.CanonicalPath(ctx.URI().PathOriginal())
		if err != nil {
			ctx.Error("", fasthttp.StatusBadRequest)
			return
		}
		x := &Exchange{Request: &ctx.Request, Response: &ctx.Response, Path: path, Peer: netip.MustParseAddr("127.0.0.1")}
		if _, err := u.Forward(t.Context(), x); err != nil {
			ctx.Error("", fasthttp.StatusBadGateway)
		}
	}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Shutdown()
		<-done
	})
	return l.Addr().String()
}

func TestWhatTheClientGets(t *testing.T) {
	f := func(method, response, wantLength, wantBody string) {
		t.Helper()
		up := newBackend(t, always(response))
		c, err := net.Dial("tcp", gateway(t, newTestBackends(t, Options{}).Upstream(configFor(up.url))))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		r := bufio.NewReader(c)
		// Twice: the connection must stay usable whatever the upstream did.
		for range 2 {
			if _, err := io.WriteString(c, request(method, "/")); err != nil {
				t.Fatal(err)
			}
			got, err := http.ReadResponse(r, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("%s %q: %v", method, response, err)
			}
			body, err := io.ReadAll(got.Body)
			if err != nil || string(body) != wantBody || got.Header.Get("Content-Length") != wantLength || got.Close {
				t.Errorf("%s %q: got body %q, %v, length %q, close %v",
					method, response, body, err, got.Header.Get("Content-Length"), got.Close)
			}
		}
	}
	f("GET", ok, "2", "ok")
	f("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n", "42", "")
	f("GET", "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", "", "")
	f("GET", "HTTP/1.1 204 No Content\r\n\r\n", "", "")
	f("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "2", "ok")
	f("GET", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", "", "ok") // streamed: its length is known at its end
	f("GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", "2", "ok")
}

func TestBypassPathsNeverReachTheUpstream(t *testing.T) {
	up := newBackend(t, always(ok))
	addr := gateway(t, newTestBackends(t, Options{}).Upstream(configFor(up.url)))
	for _, path := range []string{
		"//admin/x", "/x/../admin/x", "/./admin/x", "/admin%2fx", "/x/%2e%2e/admin", "/..;/admin", "/admin\\x", "/a%00",
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, get(path))
		got, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || got.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: got %v, %v, want 400", path, got, err)
		}
		_ = c.Close()
	}
	if got := up.received(); len(got) != 0 {
		t.Errorf("the upstream got %q", strings.Join(got, "; "))
	}
}
