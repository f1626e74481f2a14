package proxy

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// startSpan begins the client span of one try and writes its context into the
// request. Without a recording parent there is no span, and nothing is spent on
// one; the context is passed on all the same. The span is nil then.
func (f *forwarding) startSpan(s *slot) trace.Span {
	b, ctx := f.backends, f.ctx
	var span trace.Span
	if b.options.Tracer != nil && trace.SpanFromContext(ctx).IsRecording() {
		ctx, span = b.options.Tracer.Start(ctx, string(f.x.Request.Header.Method()),
			trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(f.attributes(s)...))
	}
	if b.options.Inject != nil {
		h := &f.x.Request.Header
		b.options.Inject(ctx, func(name, value string) { setHeader(h, name, value) })
	}
	return span
}

func (f *forwarding) attributes(s *slot) []attribute.KeyValue {
	out := []attribute.KeyValue{
		attribute.String("http.request.method", string(f.x.Request.Header.Method())),
		attribute.String("server.address", s.target.key.host),
		attribute.Int("server.port", int(s.target.key.port)),
		attribute.String("network.peer.address", s.addr),
	}
	if resent := f.result.Tries - 1; resent > 0 {
		out = append(out, attribute.Int("http.request.resend_count", resent))
	}
	return out
}

func endSpan(span trace.Span, r tripResult) {
	if span == nil {
		return
	}
	if r.outcome != answered {
		span.SetAttributes(attribute.String("error.type", r.outcome.String()))
		span.SetStatus(codes.Error, "")
	} else {
		span.SetAttributes(attribute.Int("http.response.status_code", r.status))
		if r.status >= 400 {
			span.SetStatus(codes.Error, "")
		}
	}
	span.End()
}
