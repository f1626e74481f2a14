package proxy

import (
	"bytes"
	"net/netip"

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
		attribute.String("url.full", f.url(s)),
		attribute.String("server.address", s.target.key.host),
		attribute.Int("server.port", int(s.target.key.port)),
	}
	if peer, err := netip.ParseAddrPort(s.addr); err == nil {
		out = append(out, attribute.String("network.peer.address", peer.Addr().String()),
			attribute.Int("network.peer.port", int(peer.Port())))
	}
	if resent := f.result.Tries - 1; resent > 0 {
		out = append(out, attribute.Int("http.request.resend_count", resent))
	}
	return out
}

// url is where the try goes, without the query, which may hold secrets.
func (f *forwarding) url(s *slot) string {
	scheme := "http://"
	if s.target.key.tls {
		scheme = "https://"
	}
	path, _, _ := bytes.Cut(f.x.Request.Header.RequestURI(), []byte("?"))
	return scheme + s.member.address.authority + string(path)
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
