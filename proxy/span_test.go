package proxy

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// tracer keeps what was said to its spans.
type tracer struct {
	noop.Tracer
	mu    sync.Mutex
	spans []*span
}

type span struct {
	noop.Span
	name  string
	ids   trace.SpanContext
	attrs []attribute.KeyValue
	code  codes.Code
	ended int
}

func (s *span) IsRecording() bool                      { return true }
func (s *span) SpanContext() trace.SpanContext         { return s.ids }
func (s *span) SetAttributes(kv ...attribute.KeyValue) { s.attrs = append(s.attrs, kv...) }
func (s *span) SetStatus(code codes.Code, _ string)    { s.code = code }
func (s *span) End(...trace.SpanEndOption)             { s.ended++ }

func (t *tracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := trace.NewSpanStartConfig(opts...)
	s := &span{name: name, attrs: c.Attributes(), ids: identifiers(byte(len(t.spans) + 1))}
	t.spans = append(t.spans, s)
	return trace.ContextWithSpan(ctx, s), s
}

func identifiers(n byte) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{n}, SpanID: trace.SpanID{n}, TraceFlags: trace.FlagsSampled,
	})
}

func (s *span) String() string {
	out := []string{s.name, s.code.String()}
	for _, kv := range s.attrs {
		if strings.HasPrefix(string(kv.Key), "http.r") || kv.Key == "error.type" {
			out = append(out, string(kv.Key)+"="+kv.Value.String())
		}
	}
	return strings.Join(out, " ")
}

func TestOneSpanPerTry(t *testing.T) {
	tr := &tracer{}
	up := newBackend(t, func(n int, _ string) string { return []string{"", status(503), ok}[n-1] })
	u := newTestBackends(t, Options{Tracer: tr}).Upstream(configFor(up.url, attempts(2)))
	ctx := trace.ContextWithSpan(t.Context(), &span{})
	if _, err := u.Forward(ctx, newExchange(t, get("/", "Traceparent: 00-old"))); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"GET Error http.request.method=GET error.type=reset",
		"GET Error http.request.method=GET http.request.resend_count=1 http.response.status_code=503",
		"GET Unset http.request.method=GET http.request.resend_count=2 http.response.status_code=200",
	}
	if len(tr.spans) != len(want) {
		t.Fatalf("%d spans, want %d", len(tr.spans), len(want))
	}
	for i, head := range up.received() {
		if got := field(head, "Traceparent"); got != fmt.Sprintf("00-%02x%s-%02x%s-01", i+1, strings.Repeat("0", 30), i+1, strings.Repeat("0", 14)) {
			t.Errorf("try %d is told %s", i, got)
		}
	}
	for i, s := range tr.spans {
		if s.String() != want[i] || s.ended != 1 {
			t.Errorf("got %s, ended %d times, want %s", s, s.ended, want[i])
		}
	}
}

func TestSpanOfATryNamesItsUpstream(t *testing.T) {
	tr := &tracer{}
	up := newBackend(t, always(ok))
	u := newTestBackends(t, Options{Tracer: tr}).Upstream(configFor(up.url))
	x := newExchange(t, get("/a/b?token=secret"))
	x.Path = "/a/b"
	if _, err := u.Forward(trace.ContextWithSpan(t.Context(), &span{}), x); err != nil {
		t.Fatal(err)
	}
	got := map[attribute.Key]string{}
	for _, kv := range tr.spans[0].attrs {
		got[kv.Key] = kv.Value.String()
	}
	host, port, _ := strings.Cut(up.addr, ":")
	want := map[attribute.Key]string{
		"http.request.method": "GET", "http.response.status_code": "200", "url.full": up.url + "/a/b",
		"server.address": host, "server.port": port, "network.peer.address": host, "network.peer.port": port,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNoSpanWithoutARecordingParent(t *testing.T) {
	tr := &tracer{}
	up := newBackend(t, always(ok))
	u := newTestBackends(t, Options{Tracer: tr}).Upstream(configFor(up.url))
	forward(t, u, newExchange(t, get("/")))
	if len(tr.spans) != 0 {
		t.Errorf("got %d spans", len(tr.spans))
	}
}
