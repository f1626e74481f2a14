package telemetry

import (
	"context"
	"encoding/hex"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// SlowStep is from when on a step of a request is worth a span of its own.
const SlowStep = 5 * time.Millisecond

// Span is the span of one request, from [Tracing.Start]. It is a value to pass along; it must be ended once.
type Span struct {
	ids trace.SpanContext
	// The rest is nil if the span is not recorded here.
	ctx    context.Context
	span   trace.Span
	tracer trace.Tracer // of its steps
}

// SpanEnd is what is known about a request when it has been answered. The strings may alias request
// buffers; what is kept is copied.
type SpanEnd struct {
	Method    string
	Route     string // the template, "" if no route matched
	Host      string // that the client asked for, with its port if it named one
	Path      string
	Scheme    string // http or https
	Client    string // address
	UserAgent string
	Status    int
	ErrorType string // a short, stable word; "" for none or, from status 500, for the status itself
}

// Context carries the span if it is recorded, and nothing else: neither deadline nor cancellation.
func (s Span) Context() context.Context {
	if s.ctx == nil {
		return context.Background()
	}
	return s.ctx
}

// SpanContext returns the identifiers: those that an upstream gets, unless it has a span of its own.
func (s Span) SpanContext() trace.SpanContext { return s.ids }

// TraceID returns the trace id as 32 hexadecimal digits.
func (s Span) TraceID() string { return s.ids.TraceID().String() }

// AppendTraceID appends what TraceID returns to b, and returns it.
func (s Span) AppendTraceID(b []byte) []byte {
	id := s.ids.TraceID()
	return hex.AppendEncode(b, id[:])
}

// Sampled reports whether the trace is recorded, here or, with tracing off, by whoever started it.
func (s Span) Sampled() bool { return s.ids.IsSampled() }

// Recorded reports whether the span is recorded here: only then are its steps worth timing.
func (s Span) Recorded() bool { return s.span != nil }

// Exemplar returns the trace id if the span is recorded here, so that there is something to find by it; else "".
func (s Span) Exemplar() string {
	if !s.Recorded() {
		return ""
	}
	return s.TraceID()
}

// Step tells of a part of a request that is over, in a span below s: only if it took [SlowStep] or longer, or
// failed, which errorType, a short and stable word, says. It costs nothing when s is not recorded.
func (s Span) Step(name string, start, end time.Time, errorType string) {
	if !s.Recorded() || errorType == "" && end.Sub(start) < SlowStep {
		return
	}
	_, step := s.tracer.Start(s.ctx, name, trace.WithTimestamp(start))
	if errorType != "" {
		step.SetAttributes(attribute.String("error.type", errorType))
		step.SetStatus(codes.Error, "")
	}
	step.End(trace.WithTimestamp(end))
}

// End names the span and closes it. It costs nothing when the span is not recorded.
func (s Span) End(e SpanEnd) {
	if !s.Recorded() {
		return
	}
	method := spanMethod(e.Method)
	s.span.SetName(spanName(method, e.Route))
	s.span.SetAttributes(e.attributes(method)...)
	if e.Status >= http.StatusInternalServerError {
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}

// attributes renders the request by the stable HTTP semantic conventions.
func (e SpanEnd) attributes(method string) []attribute.KeyValue {
	list := make([]attribute.KeyValue, 0, 10)
	add := func(key attribute.Key, value string) {
		if value != "" {
			list = append(list, key.String(strings.Clone(value)))
		}
	}
	add("http.request.method", method)
	if method != e.Method {
		add("http.request.method_original", e.Method)
	}
	add("http.route", e.Route)
	add("url.path", e.Path)
	add("url.scheme", e.Scheme)
	add("server.address", e.hostname())
	add("client.address", e.Client)
	add("user_agent.original", e.UserAgent)
	add("error.type", e.errorType())
	return append(list, attribute.Int("http.response.status_code", e.Status))
}

// hostname is the host without its port.
func (e SpanEnd) hostname() string {
	if host, _, err := net.SplitHostPort(e.Host); err == nil {
		return host
	}
	return strings.Trim(e.Host, "[]")
}

func (e SpanEnd) errorType() string {
	if e.ErrorType == "" && e.Status >= http.StatusInternalServerError {
		return strconv.Itoa(e.Status)
	}
	return e.ErrorType
}

// spanMethod bounds what a client can make a method be.
func spanMethod(method string) string {
	slot := methodSlot(method)
	if slot == methodSlots-1 {
		return "_OTHER"
	}
	return methodName(slot)
}

func spanName(method, route string) string {
	if method == "_OTHER" {
		method = "HTTP"
	}
	if route == "" {
		return method
	}
	return method + " " + route
}
