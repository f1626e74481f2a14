package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/slim/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	testTrace         = "0af7651916cd43dd8448eb211c80319c"
	testParent        = "00-" + testTrace + "-b7ad6b7169203331-01"
	testParentDropped = "00-" + testTrace + "-b7ad6b7169203331-00"
)

// collector keeps what it is sent and answers with the statuses given, then 200.
type collector struct {
	*httptest.Server

	mu       sync.Mutex
	requests []*collectorpb.ExportTraceServiceRequest
	statuses []int
	answer   []byte
	headers  http.Header
	path     string
}

func newCollector(tb testing.TB, statuses ...int) *collector {
	c := &collector{statuses: statuses}
	c.Server = httptest.NewServer(http.HandlerFunc(c.receive))
	tb.Cleanup(c.Close)
	return c
}

func (c *collector) receive(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	var request collectorpb.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.headers, c.path = r.Header, r.URL.Path
	c.requests = append(c.requests, &request)
	if len(c.statuses) > 0 {
		w.WriteHeader(c.statuses[0])
		c.statuses = c.statuses[1:]
	}
	_, _ = w.Write(c.answer)
}

func (c *collector) spans() []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var spans []*tracepb.Span
	for _, request := range c.requests {
		for _, resource := range request.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				spans = append(spans, scope.GetSpans()...)
			}
		}
	}
	return spans
}

func newTestTracing(tb testing.TB, endpoint string, share float64) *Tracing {
	tb.Helper()
	return newLoggedTracing(tb, endpoint, share, zerolog.Nop())
}

func newLoggedTracing(tb testing.TB, endpoint string, share float64, log zerolog.Logger) *Tracing {
	tb.Helper()
	c := TraceConfig{Endpoint: endpoint, ServiceName: "test-gateway", SampleRatio: share}
	tracing, err := NewTracing(c, log, prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = tracing.Close(context.Background()) })
	return tracing
}

// attributes renders a span's attributes as key=value.
func attributes(list []*commonpb.KeyValue) map[string]string {
	got := map[string]string{}
	for _, kv := range list {
		switch v := kv.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			got[kv.GetKey()] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			got[kv.GetKey()] = fmt.Sprint(v.IntValue)
		case *commonpb.AnyValue_BoolValue:
			got[kv.GetKey()] = fmt.Sprint(v.BoolValue)
		default:
			got[kv.GetKey()] = fmt.Sprint(kv.GetValue())
		}
	}
	return got
}

func TestTracingExports(t *testing.T) {
	c := newCollector(t)
	tracing := newTestTracing(t, c.URL, 1)
	span := tracing.Start(testParent, "vendor=1", true)
	_, child := tracing.Tracer().Start(span.Context(), "upstream", trace.WithSpanKind(trace.SpanKindClient))
	child.AddEvent("retry", trace.WithAttributes(attribute.Bool("first", true)))
	child.End()
	span.End(SpanEnd{
		Method: "GET", Route: "/users/{id}", Path: "/users/7", Scheme: "http",
		Client: "1.2.3.4", UserAgent: "curl/8", Status: 502, Host: "api.example:8080", ErrorType: "upstream_connect",
	})
	if err := tracing.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.path != "/v1/traces" || c.headers.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("posted to %s as %s", c.path, c.headers.Get("Content-Type"))
	}
	spans := c.spans()
	if len(spans) != 2 {
		t.Fatalf("%d spans", len(spans))
	}
	up, server := spans[0], spans[1]
	if server.GetName() != "GET /users/{id}" || server.GetKind() != tracepb.Span_SPAN_KIND_SERVER {
		t.Errorf("got %q, %s", server.GetName(), server.GetKind())
	}
	want := map[string]string{
		"http.request.method": "GET", "http.route": "/users/{id}", "url.path": "/users/7", "url.scheme": "http",
		"client.address": "1.2.3.4", "user_agent.original": "curl/8", "http.response.status_code": "502", "server.address": "api.example",
		"error.type": "upstream_connect",
	}
	if diff := cmp.Diff(want, attributes(server.GetAttributes())); diff != "" {
		t.Error(diff)
	}
	if server.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR {
		t.Errorf("status %s", server.GetStatus())
	}
	if got := fmt.Sprintf("%x-%x %s", server.GetTraceId(), server.GetParentSpanId(), server.GetTraceState()); got != testTrace+"-b7ad6b7169203331 vendor=1" {
		t.Errorf("got %s", got)
	}
	if server.GetFlags() != 0x301 || up.GetFlags() != 0x101 {
		t.Errorf("flags %x and %x", server.GetFlags(), up.GetFlags())
	}
	if !bytes.Equal(up.GetParentSpanId(), server.GetSpanId()) || up.GetKind() != tracepb.Span_SPAN_KIND_CLIENT {
		t.Errorf("the child is %s", up)
	}
	if len(up.GetEvents()) != 1 || attributes(up.GetEvents()[0].GetAttributes())["first"] != "true" {
		t.Errorf("events %s", up.GetEvents())
	}
	if server.GetStartTimeUnixNano() == 0 || server.GetEndTimeUnixNano() < server.GetStartTimeUnixNano() {
		t.Errorf("from %d to %d", server.GetStartTimeUnixNano(), server.GetEndTimeUnixNano())
	}
	resource := attributes(c.requests[0].GetResourceSpans()[0].GetResource().GetAttributes())
	if resource["service.name"] != "test-gateway" || resource["service.instance.id"] == "" {
		t.Errorf("resource %v", resource)
	}
}

func TestSpanEnd(t *testing.T) {
	f := func(end SpanEnd, wantName, wantErrorType string, wantStatus codes.Code) {
		t.Helper()
		c := newCollector(t)
		tracing := newTestTracing(t, c.URL, 1)
		tracing.Start("", "", false).End(end)
		if err := tracing.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := c.spans()[0]
		status := codes.Unset
		if s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
			status = codes.Error
		}
		if got := attributes(s.GetAttributes())["error.type"]; s.GetName() != wantName || got != wantErrorType || status != wantStatus {
			t.Errorf("got %q, %q, %s", s.GetName(), got, status)
		}
	}
	f(SpanEnd{Method: "GET", Route: "/a", Status: 200}, "GET /a", "", codes.Unset)
	f(SpanEnd{Method: "GET", Status: 404}, "GET", "", codes.Unset)
	f(SpanEnd{Method: "PUT", Route: "/a", Status: 429, ErrorType: "rate_limited"}, "PUT /a", "rate_limited", codes.Unset)
	f(SpanEnd{Method: "GET", Route: "/a", Status: 500}, "GET /a", "500", codes.Error)
	f(SpanEnd{Method: "BREW", Route: "/a", Status: 200}, "HTTP /a", "", codes.Unset)
}

func TestSpanKeepsNothingOfItsInput(t *testing.T) {
	c := newCollector(t)
	tracing := newTestTracing(t, c.URL, 1)
	buffer := []byte("/secret")
	tracing.Start("", "", false).End(SpanEnd{Method: "GET", Path: aliased(buffer), Status: 200})
	copy(buffer, "xxxxxxx")
	if err := tracing.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := attributes(c.spans()[0].GetAttributes())["url.path"]; got != "/secret" {
		t.Errorf("got %q", got)
	}
}

func TestTraceContext(t *testing.T) {
	c := newCollector(t)
	f := func(endpoint string, share float64, parent, wantTrace string, wantSampled bool) {
		t.Helper()
		tracing := newTestTracing(t, endpoint, share)
		if tracing.Enabled() != (endpoint != "") {
			t.Errorf("enabled: %v", tracing.Enabled())
		}
		span := tracing.Start(parent, "vendor=1", false)
		ids := span.SpanContext()
		state := ids.TraceState().String()
		if !ids.IsValid() || ids.TraceID().String() != span.TraceID() {
			t.Errorf("%s: sent %v for %s", parent, ids, span.TraceID())
		}
		if wantTrace != "" && (span.TraceID() != wantTrace || state != "vendor=1") {
			t.Errorf("%s: trace %s, sent %v", parent, span.TraceID(), state)
		}
		if wantTrace == "" && state != "" {
			t.Errorf("%s: sent %v", parent, state)
		}
		if span.Sampled() != wantSampled {
			t.Errorf("%s: sampled %v", parent, span.Sampled())
		}
		span.End(SpanEnd{Method: "GET", Status: 200})
	}
	f("", 1, "", "", false)
	f("", 1, testParent, testTrace, true) // off: what others decided passes through
	f("", 1, testParentDropped, testTrace, false)
	f("", 1, "00-junk", "", false)
	f("", 1, "00-00000000000000000000000000000000-b7ad6b7169203331-01", "", false)
	f(c.URL, 1, "", "", true)
	f(c.URL, 0, "", "", false)
	f(c.URL, 1, testParent, testTrace, true)
	f(c.URL, 0, testParent, testTrace, false)
	f(c.URL, 1, testParentDropped, testTrace, false)
	f(c.URL, 1, "ff-"+testTrace+"-b7ad6b7169203331-01", "", true)
}

func TestSampleRatio(t *testing.T) {
	tracing := newTestTracing(t, newCollector(t).URL, 0.25)
	f := func(want int, trusted bool, parent func() string) {
		t.Helper()
		const n = 4000
		sampled := 0
		for range n {
			if tracing.Start(parent(), "", trusted).Sampled() {
				sampled++
			}
		}
		if sampled < n*want/4-200 || sampled > n*want/4+200 { // 7 standard deviations
			t.Errorf("%d of %d sampled", sampled, n)
		}
	}
	f(1, false, func() string { return "" })
	f(1, true, func() string { return "" })
	f(1, false, func() string { return "00-" + randomTraceID().String() + "-b7ad6b7169203331-01" })
	// An id that the sampler of the SDK always takes buys a stranger nothing.
	f(1, false, func() string { return "00-00000000000000000000000000000001-b7ad6b7169203331-01" })
	f(4, true, func() string { return testParent })
	f(0, true, func() string { return testParentDropped })
	f(0, false, func() string { return testParentDropped })
}

// What was decided against is passed on as decided, or upstreams would record it all.
func TestForcedFlagIsNotPassedOn(t *testing.T) {
	tracing := newTestTracing(t, newCollector(t).URL, 0.5)
	f := func(chance float64, trusted bool, want string) {
		t.Helper()
		tracing.chance = func() float64 { return chance }
		span := tracing.Start(testParent, "", trusted)
		if got := span.SpanContext().TraceFlags().String(); got != want {
			t.Errorf("passes on flags %s, want %s", got, want)
		}
		span.End(SpanEnd{Method: "GET", Status: 200})
	}
	f(0.49, false, "01")
	f(0.5, false, "00")
	f(0.5, true, "01")
}

func TestStep(t *testing.T) {
	c := newCollector(t)
	tracing := newTestTracing(t, c.URL, 1)
	at := time.Unix(1_700_000_000, 0)
	server := tracing.Start("", "", false)
	server.Step("fast", at, at.Add(SlowStep-1), "")
	server.Step("slow", at, at.Add(SlowStep), "")
	server.Step("failed", at, at.Add(1), "redis_down")
	tracing.Start(testParentDropped, "", true).Step("unrecorded", at, at.Add(time.Hour), "failed")
	server.End(SpanEnd{Method: "GET", Status: 200})
	if err := tracing.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := c.spans()
	if len(spans) != 3 {
		t.Fatalf("%d spans", len(spans))
	}
	f := func(s *tracepb.Span, name, errorType string, took time.Duration) {
		t.Helper()
		if got := attributes(s.GetAttributes())["error.type"]; s.GetName() != name || got != errorType || !bytes.Equal(s.GetParentSpanId(), spans[2].GetSpanId()) {
			t.Errorf("got %s", s)
		}
		if failed := s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR; failed != (errorType != "") {
			t.Errorf("%s has status %s", name, s.GetStatus())
		}
		if got := s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano(); got != uint64(took) || s.GetStartTimeUnixNano() != uint64(at.UnixNano()) {
			t.Errorf("%s took %d ns", name, got)
		}
	}
	f(spans[0], "slow", "", SlowStep)
	f(spans[1], "failed", "redis_down", 1)
}

func TestTracingRefusesBadConfig(t *testing.T) {
	if _, err := NewTracing(TraceConfig{Endpoint: "x"}, zerolog.Nop(), prometheus.NewRegistry()); err == nil {
		t.Error("accepted")
	}
}

func BenchmarkStartEnd(b *testing.B) {
	c := newCollector(b)
	f := func(name, endpoint, parent string, share float64) {
		b.Run(name, func(b *testing.B) {
			tracing := newTestTracing(b, endpoint, share)
			b.ReportAllocs()
			for b.Loop() {
				span := tracing.Start(parent, "", false)
				span.End(SpanEnd{Method: "GET", Route: "/a", Path: "/a", Status: 200})
			}
		})
	}
	f("off", "", "", 0)
	f("off, parent", "", testParent, 0)
	f("unsampled", c.URL, "", 0)
	f("unsampled, parent", c.URL, testParentDropped, 0)
	f("sampled", c.URL, "", 1)
}
