package integration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// strict is a keep-alive client that forgives nothing: each request it sent must
// be answered. It opens a new connection only after an answer that closed the
// old one, and ends when the port refuses connections.
//
// A connection that is opened in the instant in which the port closes may be
// reset before its first request was read: the kernel had queued it and nobody
// accepts it any more. To a client that is the refusal it waits for, once. It is
// one only if the request went nowhere, so the test compares the answers with
// what the upstream saw.
type strict struct {
	addr, path string
	answered   atomic.Int64
	resets     atomic.Int64
}

var errNeverAccepted = errors.New("reset before the first request was read")

// run returns nil once the port refuses connections.
func (s *strict) run() error {
	for reset := false; ; {
		err := s.connect()
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			return nil
		case errors.Is(err, errNeverAccepted) && !reset:
			reset = true
			s.resets.Add(1)
		case err != nil:
			return err
		}
	}
}

// connect opens a connection and uses it.
func (s *strict) connect() error {
	conn, err := net.Dial("tcp", s.addr)
	if errors.Is(err, syscall.ECONNRESET) {
		return errNeverAccepted
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	return s.use(conn)
}

// use sends requests until an answer closes the connection.
func (s *strict) use(conn net.Conn) error {
	r := bufio.NewReader(conn)
	for n := 1; ; n++ {
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		resp, err := s.ask(conn, r)
		if n == 1 && errors.Is(err, syscall.ECONNRESET) {
			return errNeverAccepted
		}
		if err != nil {
			return fmt.Errorf("no answer to request %d of a connection: %w", n, err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err != nil {
			return fmt.Errorf("half an answer to request %d of a connection: %w", n, err)
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("request %d of a connection: status %d", n, resp.StatusCode)
		}
		s.answered.Add(1)
		if resp.Close {
			return nil
		}
	}
}

func (s *strict) ask(conn net.Conn, r *bufio.Reader) (*http.Response, error) {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", s.path); err != nil {
		return nil, err
	}
	return http.ReadResponse(r, nil)
}

func TestTermUnderLoadLosesNothing(t *testing.T) {
	const drainTimeout = 8 * time.Second
	up := newUpstream(t)
	g := gateway.Start(t, harness.Config{
		Server: fmt.Sprintf("drain_delay_ms: 1000, drain_timeout_ms: %d", drainTimeout.Milliseconds()),
		Routes: []string{fmt.Sprintf(`path: "/free/*", upstream: %q`, up.URL)},
	}.YAML())

	client := strict{addr: g.Addr, path: "/free/x?delay_ms=20"}
	lost := make(chan error, 16)
	var clients sync.WaitGroup
	for range cap(lost) {
		clients.Go(func() { lost <- client.run() })
	}
	harness.Eventually(t, 10*time.Second, "answers", func() bool { return client.answered.Load() > 200 })
	asked := time.Now()
	g.Signal(syscall.SIGTERM)
	harness.Eventually(t, time.Second, "/ready fails", func() bool { return harness.Ask(t, "GET", g.URL("/ready"), "").Status == 503 })
	code := g.Exit(drainTimeout + 5*time.Second)
	took := time.Since(asked)
	clients.Wait()
	close(lost)
	for err := range lost {
		if err != nil {
			t.Errorf("a client lost a request: %v", err)
		}
	}
	t.Logf("%d answers, %d connections reset as the port closed, exit after %s", client.answered.Load(), client.resets.Load(), took)
	if code != 0 || took > drainTimeout {
		t.Errorf("exit code %d after %s, want 0 within %s", code, took, drainTimeout)
	}
	if int(client.answered.Load()) != up.Count() {
		t.Errorf("clients got %d answers, the upstream saw %d requests", client.answered.Load(), up.Count())
	}
}

func TestMembersComeAndGo(t *testing.T) {
	up := newUpstream(t)
	nodes := gateway.StartCluster(t, 3, harness.Config{
		Server: "drain_delay_ms: 0, drain_timeout_ms: 5000",
		Routes: []string{fmt.Sprintf(`path: "/free/*", upstream: %q`, up.URL)},
	})
	alone := func(want int, left []*harness.Gateway) {
		t.Helper()
		for _, g := range left {
			harness.Eventually(t, 30*time.Second, fmt.Sprintf("%s sees %d members", g.Addr, want), func() bool {
				return len(g.Cluster().Members) == want && g.Metrics().Sum("gateway_cluster_members") == float64(want)
			})
		}
	}
	nodes[2].Signal(syscall.SIGKILL) // it cannot say goodbye
	alone(2, nodes[:2])
	nodes[1].Signal(syscall.SIGTERM)
	if code := nodes[1].Exit(10 * time.Second); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	alone(1, nodes[:1])
	if a := harness.Ask(t, "GET", nodes[0].URL("/free/x"), ""); a.Status != 200 {
		t.Errorf("the last node answers %d, want 200", a.Status)
	}
}
