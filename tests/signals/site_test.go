package signals

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/go-api-gateway-pro/gateway/node"
	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// everything uses all features that have a metric of their own.
const everything = `
server: {host: 127.0.0.1, port: 0, drain_delay_ms: 0, max_in_flight: 100, trusted_proxies: ["127.0.0.1/32"]}
admin: {port: 0}
redis: {addrs: ["${REDIS}"], budget_ms: 1000}
cluster: {bind: "127.0.0.1:0", secret_key: the-key-of-a-cluster-of-one}
otel: {endpoint: "${COLLECTOR}", sample_ratio: 1}
jwt: {secret: "${SECRET}", algorithms: [HS256, RS256], jwks_url: "${UPSTREAM}/keys"}
api_keys: [{name: billing, hash: "sha256:0000000000000000000000000000000000000000000000000000000000000000"}]
cors: {allow_origins: ["https://a"]}
global_rate_limit: {rps: 100000}
routes:
  - {path: "/users/*", upstream: "${UPSTREAM}", auth_required: true, retry: {attempts: 2, backoff_ms: 1},
     rate_limits: [{key_by: user, rps: 1000}, {key_by: ip, rps: 5000}, {key_by: "header:X-Tenant", rps: 5000}, {key_by: "claim:plan", rps: 5000}]}
  - {path: "/open/*", upstream: "${UPSTREAM}", rate_limits: [{key_by: ip, rate: 100000, per: day}]}
  - {path: "/tight", upstream: "${UPSTREAM}", rate_limit: {rate: 1, per: hour, burst: 1}}
  - {path: "/checked", upstream: "${CHECKED}", health_check: {path: "/", interval_ms: 1000, timeout_ms: 100}}
  - {path: "/dead", upstream: "http://127.0.0.1:1", breaker: {failures: 2, open_ms: 60000}}
`

// site is a node under all features, with everything around it in this process.
type site struct {
	*node.Node

	t     *testing.T
	path  string
	env   map[string]string
	redis *miniredis.Miniredis
	log   *logBuffer

	failures atomic.Int64 // how many requests the upstream still fails

	mu    sync.Mutex
	spans []*tracepb.Span
}

func startSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, redis: miniredis.RunT(t), log: &logBuffer{}, path: filepath.Join(t.TempDir(), "config.yaml")}
	serve := func(f http.HandlerFunc) string {
		server := httptest.NewServer(f)
		t.Cleanup(server.Close)
		return server.URL
	}
	s.env = map[string]string{
		"REDIS": s.redis.Addr(), "SECRET": harness.Secret,
		"COLLECTOR": serve(s.collect), "UPSTREAM": serve(s.upstream),
		"CHECKED": serve(func(http.ResponseWriter, *http.Request) {}),
	}
	s.write(everything)
	var err error
	s.Node, err = node.New(node.Options{
		Path: s.path, Log: s.log, Version: "v1.2.3",
		Lookup: func(name string) (string, bool) { v, ok := s.env[name]; return v, ok },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { stopped <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Errorf("the node stopped with %v", err)
		}
	})
	harness.Eventually(t, 10*time.Second, "limiting by Redis", func() bool {
		return s.samples().Sum("gateway_limiter_mode", `mode="redis"`) == 1
	})
	return s
}

func (s *site) write(config string) {
	s.t.Helper()
	if err := os.WriteFile(s.path, []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) upstream(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/keys" {
		_, _ = io.WriteString(w, `{"keys": []}`)
		return
	}
	if s.failures.Add(-1) >= 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// collect is the trace collector.
func (s *site) collect(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var request collectorpb.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		s.t.Errorf("the collector got %q: %v", body, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			s.spans = append(s.spans, scope.GetSpans()...)
		}
	}
}

// trace waits for the server span of a trace and returns what was collected of
// it, each span as its name and what tells it from others. Steps that were merely
// slow are left out: which they are is up to the machine.
func (s *site) trace(id string) []string {
	s.t.Helper()
	var found []string
	harness.Eventually(s.t, 10*time.Second, "the trace "+id, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		complete := false
		found = nil
		for _, span := range s.spans {
			if fmt.Sprintf("%x", span.GetTraceId()) != id {
				continue
			}
			if text := describe(span); text != "internal limiter" && text != "internal auth" {
				found = append(found, text)
			}
			complete = complete || span.GetKind() == tracepb.Span_SPAN_KIND_SERVER
		}
		return complete
	})
	return found
}

func describe(span *tracepb.Span) string {
	kind := strings.ToLower(strings.TrimPrefix(span.GetKind().String(), "SPAN_KIND_"))
	out := kind + " " + span.GetName()
	for _, key := range []string{"http.route", "http.request.resend_count", "http.response.status_code", "error.type"} {
		for _, kv := range span.GetAttributes() {
			if kv.GetKey() != key {
				continue
			}
			if text := kv.GetValue().GetStringValue(); text != "" {
				out += " " + text
			} else {
				out += fmt.Sprint(" ", kv.GetValue().GetIntValue())
			}
		}
	}
	return out
}

// ask sends a request; headers come in pairs.
func (s *site) ask(method, path string, headers ...string) harness.Answer {
	s.t.Helper()
	return harness.Ask(s.t, method, "http://"+s.Addr()+path, "", headers...)
}

func (s *site) scrape(accept string) string {
	s.t.Helper()
	answer := s.ask("GET", "/metrics", "Accept", accept)
	if answer.Status != 200 {
		s.t.Fatalf("the scrape was answered with %d", answer.Status)
	}
	return answer.Body
}

func (s *site) samples() harness.Samples {
	s.t.Helper()
	return harness.ParseMetrics(s.scrape("text/plain"))
}

// bearer is an Authorization header for a user.
func (s *site) bearer(user string) string {
	return "Bearer " + harness.Forge(s.t, "HS256", harness.Secret, map[string]any{
		"iss": "api-gateway", "sub": user, "plan": user, "exp": time.Now().Add(time.Hour).Unix(),
	})
}

// work has something happen to every metric.
func (s *site) work() {
	s.t.Helper()
	s.failures.Store(1)
	s.ask("GET", "/users/1", "Authorization", s.bearer("u"))
	s.ask("GET", "/users/1")
	s.ask("GET", "/users/1", "X-API-Key", "nobody's")
	s.ask("GET", "/open/1")
	s.ask("GET", "/checked")
	s.ask("GET", "/tight")
	s.ask("GET", "/tight")
	for range 3 {
		s.ask("GET", "/dead")
	}
	s.ask("GET", "/nowhere")
	s.ask("OPTIONS", "/open/1", "Origin", "https://a", "Access-Control-Request-Method", "GET")
}

type logBuffer struct{ harness.Buffer }

// line waits for the first line that holds all parts.
func (b *logBuffer) line(t *testing.T, parts ...string) string {
	t.Helper()
	var found string
	harness.Eventually(t, 10*time.Second, "a log line with "+strings.Join(parts, ", "), func() bool {
		for line := range strings.Lines(b.String()) {
			lacks := func(part string) bool { return !strings.Contains(line, part) }
			if !slices.ContainsFunc(parts, lacks) {
				found = line
				return true
			}
		}
		return false
	})
	return found
}
