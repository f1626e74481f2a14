package proxy

import (
	"bytes"
	"encoding/hex"
	"net/netip"

	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// startSpan begins the client span of one try and writes its identifiers into the
// request. Without a recording parent there is no span, nil, and nothing is spent on
// one; the parent's identifiers are passed on all the same.
func (f *forwarding) startSpan(s *slot) (span trace.Span) {
	h, ids := &f.x.Request.Header, f.x.Trace
	if tracer := f.backends.options.Tracer; tracer != nil && trace.SpanFromContext(f.ctx).IsRecording() {
		_, span = tracer.Start(f.ctx, string(h.Method()),
			trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(f.attributes(s)...))
		ids = span.SpanContext()
	}
	if ids.IsValid() {
		setTrace(h, ids)
	}
	return span
}

// setTrace says traceparent and, if there is one, tracestate (W3C Trace Context).
// The client's own are gone, and those of an earlier try are replaced.
func setTrace(h *fasthttp.RequestHeader, ids trace.SpanContext) {
	var buffer [traceparentLen]byte
	setClean(h, "Traceparent", appendTraceparent(buffer[:0], ids))
	if ids.TraceState().Len() > 0 {
		setClean(h, "Tracestate", []byte(ids.TraceState().String()))
	}
}

const traceparentLen = len("00-00000000000000000000000000000000-0000000000000000-00")

// appendTraceparent writes what the propagator would, which every request pays for,
// at half the cost.
func appendTraceparent(b []byte, ids trace.SpanContext) []byte {
	id, span := ids.TraceID(), ids.SpanID()
	flags := ids.TraceFlags() & (trace.FlagsSampled | trace.FlagsRandom)
	b = hex.AppendEncode(append(b, "00-"...), id[:])
	b = hex.AppendEncode(append(b, '-'), span[:])
	return hex.AppendEncode(append(b, '-'), []byte{byte(flags)})
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
