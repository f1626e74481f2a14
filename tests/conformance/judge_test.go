package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/node"
)

// judge is an upstream, a gateway before it, and a client of both.
type judge struct {
	t       *testing.T
	direct  string // host:port
	through string
	client  *http.Transport

	mu     sync.Mutex
	answer http.HandlerFunc
	seen   *side
	cases  int
}

// side is what one end of an exchange received.
type side struct {
	line    string // method, target and host, or status
	header  http.Header
	length  int64 // -1: not known ahead
	body    string
	trailer http.Header
	err     string
}

const settings = `
server: {host: 127.0.0.1, port: 0, drain_delay_ms: 0, body_limit_bytes: 16777216, header_limit_bytes: 32768}
admin: {port: 0}
log: {access: "off"}
routes:
  - {path: "/*", upstream: %[1]q, breaker: {failures: 1000}}
  - {path: "/*", upstream: %[1]q, methods: [TRACE], breaker: {failures: 1000}}
`

func newJudge(t *testing.T) *judge {
	t.Helper()
	j := &judge{t: t, client: &http.Transport{DisableCompression: true}}
	up := httptest.NewServer(http.HandlerFunc(j.serve))
	t.Cleanup(up.Close)
	j.direct = up.Listener.Addr().String()
	j.through = startNode(t, fmt.Sprintf(settings, up.URL))
	t.Cleanup(func() {
		j.client.CloseIdleConnections()
		t.Logf("%d cases", j.cases)
	})
	return j
}

// startNode runs a node until the test ends and returns its address.
func startNode(t *testing.T, config string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := node.New(node.Options{Path: path, Log: io.Discard, Lookup: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- n.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Errorf("the node stopped with %v", err)
		}
	})
	return n.Addr()
}

// serve is the upstream.
func (j *judge) serve(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	answer := j.answer
	j.mu.Unlock()
	got := &side{line: r.Method + " " + r.RequestURI + " " + r.Host, header: r.Header, length: r.ContentLength}
	got.body, got.err = digest(r.Body)
	got.trailer = r.Trailer
	j.mu.Lock()
	j.seen = got
	j.mu.Unlock()
	answer(w, r)
}

// digest reads a body to its end; long ones are told apart by their sums.
func digest(r io.Reader) (body, failure string) {
	all, err := io.ReadAll(r)
	if err != nil {
		failure = err.Error()
	}
	if len(all) > 100 {
		return fmt.Sprintf("%d bytes, %x", len(all), sha256.Sum256(all)), failure
	}
	return string(all), failure
}

// question is one exchange.
type question struct {
	method, target string
	header         []string // "Name: value"
	body           string
	chunked        bool
	trailer        []string
	answer         http.HandlerFunc
}

// ask puts the question to addr and returns what both ends received.
func (j *judge) ask(q question, addr string) (upstream, client *side) {
	j.t.Helper()
	j.mu.Lock()
	j.answer, j.seen = q.answer, nil
	j.mu.Unlock()
	var body io.Reader
	if q.body != "" || q.chunked {
		body = strings.NewReader(q.body)
	}
	req, err := http.NewRequestWithContext(j.t.Context(), q.method, "http://"+addr+q.target, body)
	if err != nil {
		j.t.Fatal(err)
	}
	req.Host = j.direct // the gateway says so anyway
	add(req.Header, q.header)
	if q.chunked {
		req.ContentLength = -1
		req.Body = io.NopCloser(strings.NewReader(q.body))
	}
	if len(q.trailer) > 0 {
		req.Trailer = http.Header{}
		add(req.Trailer, q.trailer)
	}
	resp, err := j.client.RoundTrip(req)
	if err != nil {
		return j.seen, &side{err: err.Error()}
	}
	defer resp.Body.Close()
	client = &side{line: resp.Proto + " " + resp.Status, header: resp.Header, length: resp.ContentLength}
	client.body, client.err = digest(resp.Body)
	client.trailer = resp.Trailer
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.seen, client
}

func add(h http.Header, lines []string) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
}

// check compares the question asked straight with the question asked through the
// gateway.
func (j *judge) check(q question) {
	j.t.Helper()
	j.cases++
	if q.method == "" {
		q.method = "GET"
	}
	if q.target == "" {
		q.target = "/"
	}
	if q.answer == nil {
		q.answer = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }
	}
	wantUp, wantClient := j.ask(q, j.direct)
	gotUp, gotClient := j.ask(q, j.through)
	if wantUp == nil || gotUp == nil {
		j.t.Errorf("%s: the upstream was not asked; the client got %+v", q.name(), gotClient)
		return
	}
	for _, difference := range append(compare("upstream", wantUp, gotUp), compare("client", wantClient, gotClient)...) {
		j.t.Errorf("%s: %s", q.name(), difference)
	}
}

func (q question) name() string {
	return fmt.Sprintf("%s %.60s %.80q body %d chunked %v", q.method, q.target, q.header, len(q.body), q.chunked)
}

// compare tells in what two sides differ, documented differences apart.
func compare(end string, want, got *side) (found []string) {
	differ := func(what string, want, got any) {
		if fmt.Sprint(want) != fmt.Sprint(got) {
			found = append(found, fmt.Sprintf("the %s's %s is %v through the gateway, %v without", end, what, got, want))
		}
	}
	differ("first line", want.line, got.line)
	differ("failure", want.err, got.err)
	if want.err == "" { // "differences: broken answers": how much of one arrives
		differ("body", want.body, got.body)
	}
	differ("header", lines(want.header), lines(got.header))
	differ("trailer", lines(want.trailer), lines(got.trailer))
	if !lengthIsKnownLater(want, got) {
		differ("length", want.length, got.length)
	}
	return found
}

// added are the fields that the gateway adds: "differences: added fields".
func added() []string {
	return []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-Ip",
		"X-Request-Id", "Traceparent", "Tracestate", "Date",
	}
}

// hopByHop are the fields that end at the gateway: "differences: this hop only".
func hopByHop() []string { return []string{"Connection", "Expect", "Keep-Alive", "Te", "Upgrade"} }

// lines lists a header without what is documented to differ.
func lines(h http.Header) []string {
	var out []string
	for name, values := range h {
		if slices.Contains(added(), name) || slices.Contains(hopByHop(), name) || name == "Content-Length" || name == "Trailer" {
			continue
		}
		for _, value := range values {
			if name == "Content-Type" && value == "" {
				continue // "differences: header fields"
			}
			out = append(out, name+": "+value)
		}
	}
	slices.SortStableFunc(out, func(a, b string) int {
		nameA, _, _ := strings.Cut(a, ":")
		nameB, _, _ := strings.Cut(b, ":")
		return strings.Compare(nameA, nameB)
	})
	return out
}

// lengthIsKnownLater is "differences: framing": a small body without a length gets
// one, since it was read whole.
func lengthIsKnownLater(want, got *side) bool {
	return want.length == -1 && got.length >= 0 && (got.length == int64(len(got.body)) || strings.HasPrefix(got.body, fmt.Sprint(got.length, " bytes")))
}

// serveRaw answers every connection with the same bytes, then closes it.
func serveRaw(t *testing.T, response string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
				var head bytes.Buffer
				one := make([]byte, 1)
				for !bytes.HasSuffix(head.Bytes(), []byte("\r\n\r\n")) {
					if _, err := conn.Read(one); err != nil {
						return
					}
					head.Write(one)
				}
				_, _ = io.WriteString(conn, response)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return l.Addr().String()
}
