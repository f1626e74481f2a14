package node

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/auth"
)

// BenchmarkChain is a request's whole way through a node with everything on but
// Redis: one connection in, one out, both over loopback. The upstream and the
// client do not allocate, so what is reported is the node's.
func BenchmarkChain(b *testing.B) {
	conn := benchmarkNode(b)
	token := benchmarkToken(b)
	f := func(name, request string) {
		b.Run(name, func(b *testing.B) {
			exchange := newRawExchange(conn, request)
			exchange.run(b) // warms pools and caches
			b.ReportAllocs()
			for b.Loop() {
				exchange.run(b)
			}
		})
	}
	f("get", "GET /api/1?a=b HTTP/1.1\r\nHost: a.example\r\nUser-Agent: bench\r\nAccept: */*\r\nAuthorization: Bearer "+token+"\r\n\r\n")
	f("post", "POST /api/1 HTTP/1.1\r\nHost: a.example\r\nUser-Agent: bench\r\nAuthorization: Bearer "+token+
		"\r\nContent-Type: text/plain\r\nContent-Length: 16\r\n\r\n0123456789abcdef")
}

func benchmarkToken(b *testing.B) string {
	cfg := auth.DefaultConfig()
	cfg.Secret = testSecret
	token, err := auth.SignToken(cfg, "alice", time.Hour, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	return token
}

// benchmarkNode returns a connection to a node that has everything on.
func benchmarkNode(b *testing.B) net.Conn {
	up, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go answerRaw(up)
	b.Cleanup(func() { _ = up.Close() })
	path := filepath.Join(b.TempDir(), "config.yaml")
	text := "server: {host: 127.0.0.1, port: 0, drain_delay_ms: 0}\nadmin: {port: 0}\nlog: {access: all}\n" +
		"jwt: {secret: " + testSecret + "}\ncors: {allow_origins: [\"https://app.example\"]}\n" +
		"global_rate_limit: {rps: 100000, burst: 100000000, key_by: global}\n" +
		"routes: [{path: /api/*, upstream: \"http://" + up.Addr().String() + "\", auth_required: true, strip_prefix: /api,\n" +
		"  rate_limits: [{rps: 100000, burst: 100000000, key_by: user}, {rps: 100000, burst: 100000000, key_by: ip}]}]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	n, err := New(Options{Path: path, Log: io.Discard, Lookup: func(string) (string, bool) { return "", false }})
	if err != nil {
		b.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- n.Run(b.Context()) }()
	b.Cleanup(func() { <-stopped })
	conn, err := net.Dial("tcp", n.Addr())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}

// answerRaw answers every request on every connection with the same bytes.
func answerRaw(l net.Listener) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			buf := make([]byte, 16<<10)
			for {
				if n, err := c.Read(buf); err != nil || n == 0 {
					return
				}
				if _, err := c.Write(answer); err != nil {
					return
				}
			}
		}()
	}
}

// rawExchange sends one request again and again without allocating.
type rawExchange struct {
	conn    net.Conn
	request []byte
	r       *bufio.Reader
}

func newRawExchange(conn net.Conn, request string) *rawExchange {
	return &rawExchange{conn: conn, request: []byte(request), r: bufio.NewReader(conn)}
}

func (x *rawExchange) run(b *testing.B) {
	if _, err := x.conn.Write(x.request); err != nil {
		b.Fatal(err)
	}
	line, err := x.r.ReadSlice('\n')
	if err != nil || !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		b.Fatalf("got %q, %v", line, err)
	}
	for len(line) > 2 {
		if line, err = x.r.ReadSlice('\n'); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := x.r.Discard(2); err != nil {
		b.Fatal(err)
	}
}
