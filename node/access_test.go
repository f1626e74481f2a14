package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-api-gateway-pro/gateway/node/config"
)

// accessFields are promised, in this order.
const accessFields = "time level request_id trace_id method route path status duration_ms upstream tries limit limit_source client_ip user bytes_in bytes_out"

// fields returns the keys of a line in their order, and its values.
func fields(t *testing.T, line string) (keys []string, values map[string]any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(line))
	for depth := 0; ; {
		token, err := dec.Token()
		if err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if d, ok := token.(json.Delim); ok && d == '{' {
			depth++
			continue
		} else if ok {
			break
		}
		keys = append(keys, token.(string))
		if _, err := dec.Token(); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
	}
	if err := json.Unmarshal([]byte(line), &values); err != nil {
		t.Fatal(err)
	}
	return keys, values
}

const accessRoutes = `
routes:
  - {path: "/open/*", upstream: "${UPSTREAM}"}
  - {path: "/users/*", upstream: "${UPSTREAM}", auth_required: true, rate_limit: {rps: 1, burst: 1, key_by: user}}
  - {path: "/shadow", upstream: "${UPSTREAM}", rate_limits: [{rps: 1, burst: 1, key_by: ip, shadow: true}]}
  - {path: "/dead", upstream: "http://127.0.0.1:1"}
`

func TestAccessLine(t *testing.T) {
	n := start(t, accessRoutes)
	upstream := strings.TrimPrefix(n.upstreamURL(), "http://")
	f := func(id string, want map[string]any, more ...string) {
		t.Helper()
		line := n.logs.wait(t, `"request_id":"`+id+`"`)
		keys, values := fields(t, line)
		if wanted := append(strings.Fields(accessFields), more...); !slices.Equal(keys, wanted) {
			t.Errorf("%s: fields %q, want %q", id, keys, wanted)
		}
		for key, value := range want {
			if fmt.Sprint(values[key]) != fmt.Sprint(value) {
				t.Errorf("%s: %s is %v, want %v", id, key, values[key], value)
			}
		}
		if at, err := time.Parse("2006-01-02T15:04:05.000Z", fmt.Sprint(values["time"])); err != nil || time.Since(at).Abs() > time.Minute {
			t.Errorf("%s: time %v", id, values["time"])
		}
		if trace := fmt.Sprint(values["trace_id"]); len(trace) != 32 {
			t.Errorf("%s: trace_id %q", id, trace)
		}
	}
	n.do("GET", "/open/b?secret=1", "X-Request-ID: open")
	f("open", map[string]any{
		"level": "info", "method": "GET", "route": "/open/*", "path": "/open/b", "status": 200, "upstream": upstream, "tries": 1,
		"limit": "allowed", "limit_source": "none", "client_ip": "127.0.0.1", "user": "", "bytes_in": 0, "bytes_out": 5,
	})
	for _, id := range []string{"allowed", "denied"} {
		n.do("GET", "/users/1", "X-Request-ID: "+id, token(t, nil, 0))
	}
	f("allowed", map[string]any{"status": 200, "limit": "allowed", "limit_source": "local", "user": "alice"})
	f("denied", map[string]any{"status": 429, "limit": "denied", "limit_source": "local", "user": "alice", "tries": 0, "upstream": ""}, "error")
	n.do("GET", "/users/1", "X-Request-ID: stranger")
	f("stranger", map[string]any{"status": 401, "limit": "allowed", "limit_source": "local", "user": ""}, "error")
	n.do("DELETE", "/nowhere", "X-Request-ID: lost")
	f("lost", map[string]any{"status": 404, "method": "DELETE", "route": "unmatched", "path": "/nowhere"}, "error")
	n.do("GET", "/dead", "X-Request-ID: dead")
	f("dead", map[string]any{"status": 502, "upstream": "127.0.0.1:1", "tries": 1}, "error")
	n.do("GET", "/health", "X-Request-ID: health")
	f("health", map[string]any{"status": 200, "route": "/health"})
	n.do("GET", "/shadow")
	n.do("GET", "/shadow", "X-Request-ID: shadow")
	f("shadow", map[string]any{"status": 200, "limit": "allowed"}, "limit_shadow")
}

func (n *testNode) upstreamURL() string {
	v, _ := n.lookup("UPSTREAM")
	return v
}

func TestAccessLineDurationIsInMilliseconds(t *testing.T) {
	n := start(t, accessRoutes)
	const takes = 30 * time.Millisecond
	n.with(func(http.ResponseWriter, *http.Request) { time.Sleep(takes) })
	began := time.Now()
	n.do("GET", "/open/x", "X-Request-ID: slow")
	_, values := fields(t, n.logs.wait(t, `"request_id":"slow"`))
	took := float64(time.Since(began).Microseconds()) / 1000
	if got := values["duration_ms"].(float64); got < 30 || got > took {
		t.Errorf("%g ms, want 30 to %g", got, took)
	}
}

// Whatever a client sends, its line is one line that shows as it is.
func TestHostileTextInTheAccessLine(t *testing.T) {
	n := start(t, accessRoutes)
	f := func(want string, send func(), shown ...string) {
		t.Helper()
		send()
		line := n.logs.wait(t, want)
		if !utf8.ValidString(line) {
			t.Errorf("not UTF-8: %q", line)
		}
		for _, r := range strings.TrimSuffix(line, "\n") {
			if !unicode.IsPrint(r) {
				t.Errorf("%U in %q", r, line)
			}
		}
		_, values := fields(t, line)
		for key, value := range values {
			if text, ok := value.(string); ok && strings.ContainsFunc(text, unicode.IsControl) {
				t.Errorf("%s decodes to %q", key, text)
			}
		}
		for _, part := range shown {
			if !strings.Contains(line, part) {
				t.Errorf("no %q in %s", part, line)
			}
		}
	}
	user := func(sub string) func() {
		return func() { n.do("GET", "/users/x", "X-Request-ID: as-"+sub[:3], bearer(t, map[string]any{"sub": sub})) }
	}
	f(`as-rtl`, user("rtl\u2028\u202e\u200b\ufeff\"\\"), `"user":"rtl����\"\\"`)
	f(`as-esc`, user("esc\n\r\x00\x1b[31m\x7f"), `"status":401`, `"user":""`)
	path := "/open/one%0Atwo%1B%7F%C2%85%E2%80%A8%E2%80%AE%FF"
	f(`/open/one`, func() { n.do("GET", path) })
	f(`raw`, func() { n.raw("GET /open/raw\x80\xe2\x80\xae\xff HTTP/1.1\r\nHost: a\r\n\r\n") })
	f(`"client_ip"`, func() {
		n.raw("GET /open/x HTTP/1.1\r\nHost: a\r\nX-Request-ID: " + strings.Repeat("x", 1000) + "\x80\u202e\r\n\r\n")
	})
	long := "/open/" + strings.Repeat("long", 450)
	f(`longlong`, func() { n.do("GET", long) }, `"path":"`+long+`"`)
}

func TestAccessLinesAreChosen(t *testing.T) {
	f := func(settings string, want ...string) {
		t.Helper()
		n := start(t, "log: {"+settings+"}\n"+accessRoutes)
		n.do("GET", "/open/x", "X-Request-ID: good")
		n.do("GET", "/nowhere", "X-Request-ID: bad")
		n.do("GET", "/dead", "X-Request-ID: worse")
		var got []string
		for line := range strings.Lines(n.flushed()) {
			for _, id := range []string{"good", "bad", "worse"} {
				if strings.Contains(line, `"request_id":"`+id+`"`) && strings.Contains(line, `"bytes_out"`) {
					got = append(got, id)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: lines of %q, want %q", settings, got, want)
		}
	}
	f("access: all", "good", "bad", "worse")
	f("access: errors", "bad", "worse")
	f(`access: "off"`)
	f("access_sample: 0", "bad", "worse")
	f("access_sample: 1", "good", "bad", "worse")
}

// flushed returns the log after everything so far has been written: lines keep
// their order.
func (n *testNode) flushed() string {
	n.t.Helper()
	n.logger.Info().Msg("everything so far")
	n.logs.wait(n.t, "everything so far")
	return n.logs.String()
}

// hungWriter takes nothing until it is released.
type hungWriter struct{ released chan struct{} }

func (w hungWriter) Write(p []byte) (int, error) {
	<-w.released
	return len(p), nil
}

// A log that hangs from the start holds up neither the start nor requests nor
// events, only what it was given.
func TestHungLogHoldsUpNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	text := "server: {host: 127.0.0.1, port: 0, drain_delay_ms: 0, drain_timeout_ms: 1000}\nadmin: {port: 0}\n" +
		"routes:\n  - {path: /dead, upstream: \"http://127.0.0.1:1\", breaker: {failures: 2}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log := hungWriter{make(chan struct{})}
	n, err := New(Options{Path: path, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	n.builtins["/boom"] = func(string) (page, error) { panic("logged") }
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { stopped <- n.Run(ctx) }()
	ask := func(path string) int {
		t.Helper()
		resp, err := http.Get("http://" + n.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for range 20 {
		if status := ask("/dead"); status != 502 && status != 503 {
			t.Errorf("status %d", status)
		}
		if status := ask("/boom"); status != 500 {
			t.Errorf("status %d", status)
		}
	}
	stop()
	if err := <-stopped; err == nil || !strings.Contains(err.Error(), "lines left") {
		t.Errorf("stopped with %v, want word of the lost lines", err)
	}
	close(log.released)
}

// More lines than the buffer holds are dropped, and the metric says how many.
func TestDroppedLinesAreCounted(t *testing.T) {
	n := &Node{registry: newNode(Options{}).registry, now: time.Now}
	log := hungWriter{make(chan struct{})}
	cfg, err := config.Parse([]byte("routes: [{path: /, upstream: \"http://127.0.0.1:1\"}]\n"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.observeWith(cfg, log); err != nil {
		t.Fatal(err)
	}
	const surplus = 100
	for range 2*accessQueue + surplus { // as many again may be under way already
		n.access.Line(n.now()).Str("request_id", "x").Send()
	}
	page, err := n.metrics("")
	if err != nil {
		t.Fatal(err)
	}
	dropped := 0
	for line := range strings.Lines(string(page.body)) {
		if rest, ok := strings.CutPrefix(line, "gateway_log_dropped_total "); ok {
			fmt.Sscan(rest, &dropped)
		}
	}
	if dropped < surplus || dropped > accessQueue+surplus {
		t.Errorf("%d dropped:\n%s", dropped, bytes.TrimSpace(page.body[:200]))
	}
	close(log.released)
	if err := n.teardown.run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAppendMillis(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := string(appendMillis(nil, d)); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
	f(0, "0")
	f(999, "0")
	f(time.Microsecond, "0.001")
	f(1234567, "1.234")
	f(100*time.Millisecond, "100")
	f(100*time.Microsecond, "0.1")
	f(time.Hour+10*time.Microsecond, "3600000.01")
}
