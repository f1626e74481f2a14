package conformance

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// Small by default; `make endurance` asks for the full numbers.
var (
	requests    = flag.Int("requests", 2000, "mixed requests of TestFaultsLeakNothing")
	connections = flag.Int("connections", 500, "idle connections of TestIdleConnectionsAreCheap")
)

// mix is an upstream that fails now and then, and clients that do.
type mix struct {
	addr     string
	client   *http.Transport
	answered atomic.Int64
	failed   atomic.Int64
	wrong    chan string // what befell requests that should have been answered
}

// play does what the path says.
func play(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/reset":
		panic(http.ErrAbortHandler)
	case "/break":
		w.Header().Set("Content-Length", "100000")
		_, _ = io.WriteString(w, "the beginning")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case "/slow":
		<-r.Context().Done()
	case "/early":
		w.WriteHeader(http.StatusForbidden)
	case "/stream":
		for range 5 {
			_, _ = io.WriteString(w, strings.Repeat("x", 3000))
			w.(http.Flusher).Flush()
		}
	case "/large":
		_, _ = io.WriteString(w, strings.Repeat("x", 200_000))
	default:
		_, _ = io.Copy(w, r.Body)
	}
}

// one sends the i-th request: of twenty, one goes wrong.
func (m *mix) one(ctx context.Context, i int) {
	method, path, body := "GET", "/plain", ""
	switch i % 20 {
	case 0:
		m.fault(ctx, rand.IntN(6))
		return
	case 1, 2:
		path = "/stream"
	case 3:
		path = "/large"
	case 4, 5:
		method, body = "POST", strings.Repeat("x", 50_000)
	case 6, 7:
		method, body = "PUT", "small"
	}
	if failure := m.send(ctx, method, path, body); failure != "" {
		select {
		case m.wrong <- method + " " + path + ": " + failure:
		default:
		}
	}
}

// fault is one of what goes wrong in the world.
func (m *mix) fault(ctx context.Context, kind int) {
	switch kind {
	case 0:
		m.send(ctx, "GET", "/reset", "")
	case 1:
		m.send(ctx, "GET", "/break", "")
	case 2:
		m.send(ctx, "POST", "/early", strings.Repeat("x", 300_000))
	case 3: // a client that does not wait
		ctx, stop := context.WithTimeout(ctx, 20*time.Millisecond)
		defer stop()
		m.send(ctx, "GET", "/slow", "")
	case 4: // one that sends half
		m.raw("POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 15_000))
	case 5: // one that cannot be understood
		m.raw("GET /plain HTTP/1.1\r\nHost: a\r\nBad Name: 1\r\n\r\n")
	}
}

// send returns what went wrong.
func (m *mix) send(ctx context.Context, method, path, body string) string {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+m.addr+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	resp, err := m.client.RoundTrip(req)
	if err != nil {
		m.failed.Add(1)
		return err.Error()
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode >= 400 {
		m.failed.Add(1)
		return fmt.Sprintf("%d %.300s %v", resp.StatusCode, got, err)
	}
	m.answered.Add(1)
	return ""
}

func (m *mix) raw(request string) {
	m.failed.Add(1)
	conn, err := net.Dial("tcp", m.addr)
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, request)
	_ = conn.Close()
}

// busy counts the goroutines that serve, park or refuse a client's connection or
// use one of an upstream's. fasthttp's idle workers are none of them.
func busy() int {
	stacks := make([]byte, 4<<20)
	text := string(stacks[:runtime.Stack(stacks, true)])
	n := 0
	for _, one := range strings.Split(text, "\n\n") {
		for _, part := range []string{"fasthttp.(*Server).serveConn", "node.(*patient).await", "node.(*patient).turnAway", "proxy.(*Tunnel)", "proxy.(*forwarding)"} {
			if strings.Contains(one, part) {
				n++
				break
			}
		}
	}
	return n
}

// Whatever goes wrong, in the end no goroutine, no connection and no request is
// left over.
func TestFaultsLeakNothing(t *testing.T) {
	var open atomic.Int64
	up := httptest.NewUnstartedServer(http.HandlerFunc(play))
	up.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		}
	}
	up.Start()
	defer up.Close()
	m := &mix{addr: startNode(t, fmt.Sprintf(settings, up.URL)), client: &http.Transport{MaxIdleConnsPerHost: 32}, wrong: make(chan string, 20)}

	var next atomic.Int64
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for i := int(next.Add(1)); i <= *requests; i = int(next.Add(1)) {
				m.one(t.Context(), i)
			}
		})
	}
	clients.Wait()
	m.client.CloseIdleConnections()
	t.Logf("%d requests, %d answered, %d failed", *requests, m.answered.Load(), m.failed.Load())
	for len(m.wrong) > 0 {
		t.Error(<-m.wrong)
	}
	if want := int64(*requests) * 19 / 20; m.answered.Load() != want {
		t.Errorf("%d answers, want those %d that nothing befell", m.answered.Load(), want)
	}
	harness.Eventually(t, 20*time.Second, "all connections of the upstream closed, idle ones by age", func() bool { return open.Load() == 0 })
	harness.Eventually(t, 20*time.Second, "no goroutine busy with a connection", func() bool { return busy() == 0 })
	text := harness.Ask(t, "GET", "http://"+m.addr+"/metrics", "").Body
	for _, want := range []string{"http_requests_in_flight 1\n", "gateway_connections_open 1\n", "gateway_tunnels_open 0\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
}

// What an idle client costs. Its own end is in this process too, and counted.
func TestIdleConnectionsAreCheap(t *testing.T) {
	const bound = 12 << 10
	up := httptest.NewServer(http.HandlerFunc(play))
	defer up.Close()
	addr := startNode(t, strings.Replace(fmt.Sprintf(settings, up.URL), "drain_delay_ms: 0", "drain_delay_ms: 0, idle_timeout_ms: 3600000, max_connections_per_client: 0", 1))
	memory := func() int64 {
		for range 3 { // stacks shrink by half a time
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse)
	}
	before := memory()
	conns := make([]net.Conn, *connections)
	r := bufio.NewReader(nil)
	for i := range conns {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
		r.Reset(conn)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("got %v, %v", resp, err)
		}
		_ = resp.Body.Close()
		conns[i] = conn
	}
	var each int64
	harness.Eventually(t, 30*time.Second, fmt.Sprintf("at most %d bytes each", bound), func() bool {
		each = (memory() - before) / int64(len(conns))
		return each <= bound
	})
	t.Logf("%d idle connections: %d bytes each", len(conns), each)
	for i := 0; i < len(conns); i += 97 { // and they are as good as before
		fmt.Fprintf(conns[i], "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
		r.Reset(conns[i])
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
			t.Fatalf("after a while: got %v, %v", resp, err)
		}
	}
}
