package signals

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A request's trace is found by its log line and by the exemplar of its latency,
// and tells of each try.
func TestTraceOfARequest(t *testing.T) {
	s := startSite(t)
	s.failures.Store(2)
	if got := s.ask("GET", "/users/1?token=hidden", "Authorization", s.bearer("u"), "X-Request-ID", "traced").Status; got != 200 {
		t.Fatalf("status %d", got)
	}
	id := s.traceOf("traced")
	got := s.trace(id)
	want := []string{
		"client GET 503",
		"client GET 1 503",
		"client GET 2 200",
		"server GET /users/* /users/* 200",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	exemplar := regexp.MustCompile(`http_request_duration_seconds_bucket\{route="/users/\*",le="[^"]+"\} 1 # \{trace_id="` + id + `"\}`)
	if text := s.scrape("application/openmetrics-text;version=1.0.0"); !exemplar.MatchString(text) {
		t.Errorf("no exemplar of %s", id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range s.spans {
		if strings.Contains(span.String(), "hidden") {
			t.Errorf("the query is in %s", span)
		}
	}
}

// What is fast and goes well has no span; what fails has one.
func TestTraceTellsWhatFailed(t *testing.T) {
	s := startSite(t)
	f := func(id, path string, want ...string) {
		t.Helper()
		s.ask("GET", path, "X-Request-ID", id)
		got := s.trace(s.traceOf(id))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
	f("well", "/open/1", "client GET 200", "server GET /open/* /open/* 200")
	f("stranger", "/users/1", "internal auth token-missing", "server GET /users/* /users/* 401 token-missing")
	f("lost", "/nowhere", "server GET 404 no-route")
	f("refused", "/dead", "client GET refused", "server GET /dead /dead 502 upstream-failed")
	s.redis.SetError("gone")
	f("alone", "/open/1", "internal limiter redis_down", "client GET 200", "server GET /open/* /open/* 200")
}

// traceOf reads the trace id from a request's access line.
func (s *site) traceOf(request string) string {
	s.t.Helper()
	var line struct {
		Trace string `json:"trace_id"`
	}
	if err := json.Unmarshal([]byte(s.log.line(s.t, `"request_id":"`+request+`"`, `"bytes_in"`)), &line); err != nil {
		s.t.Fatal(err)
	}
	return line.Trace
}
