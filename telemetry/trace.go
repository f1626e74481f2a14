package telemetry

import (
	"context"
	cryptorand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

const (
	tracerName      = "gateway"
	maxAttributes   = 64   // per span
	maxAttributeLen = 2048 // bytes; a path can be as long as the header limit
)

// Tracing makes the spans of requests and exports the sampled ones. It is safe for concurrent use.
type Tracing struct {
	enabled    bool
	tracer     trace.Tracer
	propagator propagation.TraceContext
	share      float64
	chance     func() float64 // from [0, 1)
	spans      *spanQueue     // nil when off
}

// NewTracing returns the tracing of a valid TraceConfig. With an endpoint it starts the exporter, which
// ends with [Tracing.Close]; the collector need not be there. It registers
// gateway_trace_spans_dropped_total and panics if reg has it already.
func NewTracing(c TraceConfig, log zerolog.Logger, reg prometheus.Registerer) (*Tracing, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot set up tracing: %w", err)
	}
	dropped := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "gateway_trace_spans_dropped_total",
		Help: "Spans that were recorded and did not reach the collector.",
	})
	reg.MustRegister(dropped)
	endpoint, err := c.url()
	if err != nil || endpoint == "" {
		return &Tracing{tracer: noop.NewTracerProvider().Tracer(tracerName)}, err
	}
	spans := newSpanQueue(newExporter(endpoint, log, dropped), dropped)
	return &Tracing{
		enabled: true,
		tracer:  newProvider(c, spans).Tracer(tracerName),
		share:   c.SampleRatio,
		chance:  rand.Float64,
		spans:   spans,
	}, nil
}

func newProvider(c TraceConfig, spans sdktrace.SpanProcessor) *sdktrace.TracerProvider {
	limits := sdktrace.NewSpanLimits()
	limits.AttributeCountLimit = maxAttributes
	limits.AttributeValueLengthLimit = maxAttributeLen
	return sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(spans),
		sdktrace.WithRawSpanLimits(limits),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())), // Start has decided
		sdktrace.WithIDGenerator(idGenerator{}),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", c.ServiceName),
			attribute.String("service.instance.id", cryptorand.Text()),
		)),
	)
}

// Enabled reports whether spans are exported at all.
func (t *Tracing) Enabled() bool { return t.enabled }

// Tracer makes child spans, of which the context of a [Span] is the parent. It is never nil.
func (t *Tracing) Tracer() trace.Tracer { return t.tracer }

// Start begins the span of a request, given its traceparent and tracestate headers ("" if there are none),
// which may alias request buffers. It must be ended. A traceparent that does not parse begins a new trace.
//
// A trace that its caller does not record is not recorded. One that a trusted caller records is; that of
// anybody else only for the share that all requests have, drawn anew for each: neither its flag nor an id of
// its choosing helps, here or at the upstreams, which see the flag as it was decided.
//
// Without sampling, also when tracing is off, the span only carries identifiers: those of the parent, or
// random ones, so that the log and the upstream have a trace id in any case.
func (t *Tracing) Start(parent, state string, trusted bool) Span {
	remote := t.parse(parent, state)
	switch {
	case !remote.IsValid() && t.enabled && t.chosen():
		return t.record(context.Background())
	case !remote.IsValid():
		return passive(newTrace())
	case !t.enabled:
		return passive(remote)
	case remote.IsSampled() && (trusted || t.chosen()):
		return t.record(trace.ContextWithRemoteSpanContext(context.Background(), remote))
	}
	return passive(remote.WithTraceFlags(remote.TraceFlags().WithSampled(false)))
}

func (t *Tracing) chosen() bool { return t.chance() < t.share }

func (t *Tracing) parse(parent, state string) trace.SpanContext {
	if parent == "" {
		return trace.SpanContext{}
	}
	if state != "" {
		state = strings.Clone(state) // the trace state keeps pieces of it
	}
	ctx := t.propagator.Extract(context.Background(), headers{parent: parent, state: state})
	return trace.SpanContextFromContext(ctx)
}

func (t *Tracing) record(ctx context.Context) Span {
	ctx, span := t.tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer))
	return Span{ids: span.SpanContext(), ctx: ctx, span: span, tracer: t.tracer}
}

// passive returns a span that records nothing and hands identifiers on. Most are: it allocates nothing.
func passive(ids trace.SpanContext) Span { return Span{ids: ids} }

func newTrace() trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: randomTraceID(), SpanID: randomSpanID()})
}

// Close exports the spans that have ended and stops. When ctx ends first, the rest is dropped and counted.
func (t *Tracing) Close(ctx context.Context) error {
	if !t.enabled {
		return nil
	}
	// Not through the provider: it would not even begin with a ctx that has ended.
	if err := t.spans.Shutdown(ctx); err != nil {
		return fmt.Errorf("cannot flush traces: %w", err)
	}
	return nil
}
