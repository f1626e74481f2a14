package telemetry

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/slim/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"
)

// Bits of the OTLP span flags beyond those of traceparent.
const (
	flagHasIsRemote = 0x100
	flagIsRemote    = 0x200
)

// encodeSpans puts spans, at least one, into one request. They share a resource and a scope, because all of
// them come from the one tracer of the one provider.
func encodeSpans(spans []sdktrace.ReadOnlySpan) *collectorpb.ExportTraceServiceRequest {
	encoded := make([]*tracepb.Span, len(spans))
	for i, s := range spans {
		encoded[i] = encodeSpan(s)
	}
	scope := spans[0].InstrumentationScope()
	return &collectorpb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: encodeAttributes(spans[0].Resource().Attributes())},
		ScopeSpans: []*tracepb.ScopeSpans{{
			Scope: &commonpb.InstrumentationScope{Name: scope.Name, Version: scope.Version},
			Spans: encoded,
		}},
	}}}
}

func encodeSpan(s sdktrace.ReadOnlySpan) *tracepb.Span {
	sc, parent := s.SpanContext(), s.Parent()
	traceID, spanID := sc.TraceID(), sc.SpanID()
	span := &tracepb.Span{
		TraceId:                traceID[:],
		SpanId:                 spanID[:],
		TraceState:             sc.TraceState().String(),
		Flags:                  spanFlags(sc, parent),
		Name:                   s.Name(),
		Kind:                   encodeKind(s.SpanKind()),
		StartTimeUnixNano:      unixNano(s.StartTime()),
		EndTimeUnixNano:        unixNano(s.EndTime()),
		Attributes:             encodeAttributes(s.Attributes()),
		DroppedAttributesCount: uint32(s.DroppedAttributes()),
		Events:                 encodeEvents(s.Events()),
		DroppedEventsCount:     uint32(s.DroppedEvents()),
		Links:                  encodeLinks(s.Links()),
		DroppedLinksCount:      uint32(s.DroppedLinks()),
		Status:                 encodeStatus(s.Status()),
	}
	if id := parent.SpanID(); id.IsValid() {
		span.ParentSpanId = id[:]
	}
	return span
}

func spanFlags(sc, parent trace.SpanContext) uint32 {
	flags := uint32(sc.TraceFlags()) | flagHasIsRemote
	if parent.IsRemote() {
		flags |= flagIsRemote
	}
	return flags
}

func unixNano(t time.Time) uint64 { return uint64(max(t.UnixNano(), 0)) }

func encodeKind(kind trace.SpanKind) tracepb.Span_SpanKind {
	switch kind {
	case trace.SpanKindServer:
		return tracepb.Span_SPAN_KIND_SERVER
	case trace.SpanKindClient:
		return tracepb.Span_SPAN_KIND_CLIENT
	case trace.SpanKindProducer:
		return tracepb.Span_SPAN_KIND_PRODUCER
	case trace.SpanKindConsumer:
		return tracepb.Span_SPAN_KIND_CONSUMER
	}
	return tracepb.Span_SPAN_KIND_INTERNAL
}

func encodeStatus(status sdktrace.Status) *tracepb.Status {
	switch status.Code {
	case codes.Error:
		return &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: status.Description}
	case codes.Ok:
		return &tracepb.Status{Code: tracepb.Status_STATUS_CODE_OK}
	}
	return nil
}

func encodeEvents(events []sdktrace.Event) []*tracepb.Span_Event {
	encoded := make([]*tracepb.Span_Event, len(events))
	for i, event := range events {
		encoded[i] = &tracepb.Span_Event{
			TimeUnixNano:           unixNano(event.Time),
			Name:                   event.Name,
			Attributes:             encodeAttributes(event.Attributes),
			DroppedAttributesCount: uint32(event.DroppedAttributeCount),
		}
	}
	return encoded
}

func encodeLinks(links []sdktrace.Link) []*tracepb.Span_Link {
	encoded := make([]*tracepb.Span_Link, len(links))
	for i, link := range links {
		traceID, spanID := link.SpanContext.TraceID(), link.SpanContext.SpanID()
		encoded[i] = &tracepb.Span_Link{
			TraceId:                traceID[:],
			SpanId:                 spanID[:],
			TraceState:             link.SpanContext.TraceState().String(),
			Attributes:             encodeAttributes(link.Attributes),
			DroppedAttributesCount: uint32(link.DroppedAttributeCount),
		}
	}
	return encoded
}

func encodeAttributes(list []attribute.KeyValue) []*commonpb.KeyValue {
	encoded := make([]*commonpb.KeyValue, len(list))
	for i, kv := range list {
		encoded[i] = &commonpb.KeyValue{Key: string(kv.Key), Value: encodeValue(kv.Value)}
	}
	return encoded
}

func encodeValue(v attribute.Value) *commonpb.AnyValue {
	switch v.Type() {
	case attribute.BOOL:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: v.AsBool()}}
	case attribute.INT64:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: v.AsInt64()}}
	case attribute.FLOAT64:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: v.AsFloat64()}}
	case attribute.STRINGSLICE:
		return encodeStrings(v.AsStringSlice())
	}
	return stringValue(v.String()) // lists of other types appear as JSON text
}

func encodeStrings(list []string) *commonpb.AnyValue {
	values := make([]*commonpb.AnyValue, len(list))
	for i, s := range list {
		values[i] = stringValue(s)
	}
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: values}}}
}

func stringValue(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}
