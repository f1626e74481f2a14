package proxy

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"github.com/go-api-gateway-pro/gateway/proxy/breaker"
)

func TestMain(m *testing.M) {
	// The pool's cleaner ends by itself, up to four seconds after the last connection.
	cleaner := goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner")
	// fasthttp's server keeps the date of its responses by a goroutine that never ends.
	date := goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1")
	// And its pool of workers sweeps every ten seconds, also once it has been stopped.
	sweep := goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2")
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(cleaner, date, sweep); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// backend is an upstream that keeps what it received to the letter.
type backend struct {
	url    string
	addr   string
	answer func(n int, head string) string

	mu    sync.Mutex
	heads []string
	conns int
	open  map[net.Conn]bool
	wg    sync.WaitGroup
}

// newBackend answers the n-th request (from 1) by what answer returns; "" closes
// the connection, as does a response with "Connection: close".
func newBackend(t *testing.T, answer func(n int, head string) string) *backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{url: "http://" + l.Addr().String(), addr: l.Addr().String(), answer: answer, open: map[net.Conn]bool{}}
	b.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.conns++
			b.open[c] = true
			b.mu.Unlock()
			b.wg.Go(func() { b.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		b.hangUp()
		b.wg.Wait()
	})
	return b
}

func always(response string) func(int, string) string {
	return func(int, string) string { return response }
}

func (b *backend) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		head, err := readHead(r)
		if err != nil {
			return
		}
		b.mu.Lock()
		b.heads = append(b.heads, head)
		n := len(b.heads)
		b.mu.Unlock()
		response := b.answer(n, head)
		if response == "" {
			return
		}
		if _, err := c.Write([]byte(response)); err != nil || strings.Contains(response, "Connection: close") {
			return
		}
	}
}

// readHead reads one request and returns it, the body after an empty line.
func readHead(r *bufio.Reader) (string, error) {
	var head strings.Builder
	length := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if value, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		}
		head.WriteString(strings.TrimRight(line, "\r\n") + "\n")
		if strings.TrimSpace(line) == "" {
			break
		}
	}
	body := make([]byte, length)
	for i := range body {
		c, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		body[i] = c
	}
	return head.String() + string(body), nil
}

// hangUp closes all connections from the backend's side.
func (b *backend) hangUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.open {
		_ = c.Close()
	}
	clear(b.open)
}

func (b *backend) received() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.heads...)
}

func (b *backend) connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conns
}

// last returns the last request received.
func (b *backend) last(t *testing.T) string {
	t.Helper()
	all := b.received()
	if len(all) == 0 {
		t.Fatal("the upstream received nothing")
	}
	return all[len(all)-1]
}

func newTestBackends(t *testing.T, o Options) *Backends {
	t.Helper()
	b := NewBackends(o)
	t.Cleanup(b.Close)
	return b
}

func configFor(url string, change ...func(*UpstreamConfig)) UpstreamConfig {
	c := DefaultUpstreamConfig()
	c.URL = url
	c.Breaker = &breaker.Config{}
	c.Breaker.SetDefaults()
	c.TimeoutMS = 5000
	c.Retry.BackoffMS = 1
	for _, f := range change {
		f(&c)
	}
	return c
}

func attempts(n int) func(*UpstreamConfig) {
	return func(c *UpstreamConfig) { c.Retry.Attempts = n }
}

// newExchange parses a client's request as the server would.
func newExchange(t testing.TB, raw string) *Exchange {
	t.Helper()
	x := &Exchange{
		Request: &fasthttp.Request{}, Response: &fasthttp.Response{},
		Client: netip.MustParseAddr("203.0.113.9"), Peer: netip.MustParseAddr("10.0.0.7"),
		Scheme: "http", Host: "shop.example",
	}
	if err := x.Request.Read(bufio.NewReader(strings.NewReader(raw))); err != nil {
		t.Fatal(err)
	}
	path, _, _ := bytes.Cut(x.Request.Header.RequestURI(), []byte("?"))
	x.Path = string(path)
	return x
}

func get(path string, headers ...string) string { return request("GET", path, headers...) }

func request(method, path string, headers ...string) string {
	lines := append([]string{method + " " + path + " HTTP/1.1", "Host: shop.example"}, headers...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func forward(t *testing.T, u *Upstream, x *Exchange) Result {
	t.Helper()
	res, err := u.Forward(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// within fails the test if f takes longer than any deadline in these tests allows.
func within(t *testing.T, limit time.Duration, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took > limit {
		t.Errorf("took %v, more than %v", took, limit)
	}
}

// names is a resolver that can be changed while it is used.
type names struct {
	mu    sync.Mutex
	ips   []netip.Addr
	err   error
	calls int
}

func (n *names) set(err error, ips ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err, n.ips = err, nil
	for _, ip := range ips {
		n.ips = append(n.ips, netip.MustParseAddr(ip))
	}
}

func (n *names) resolve(context.Context, string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls++
	return append([]netip.Addr(nil), n.ips...), n.err
}

func (n *names) lookups() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.calls
}
