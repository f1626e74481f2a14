package telemetry

import (
	"context"
	"crypto/rand"
	"fmt"
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
	sampled    func(trace.TraceID) bool
	spans      *spanQueue // nil when off
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
		sampled: ratio(c.SampleRatio),
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
		sdktrace.WithSampler(newSampler(c.SampleRatio)),
		sdktrace.WithIDGenerator(idGenerator{}),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", c.ServiceName),
			attribute.String("service.instance.id", rand.Text()),
		)),
	)
}

// newSampler decides by the trace id, so all nodes agree. A parent that is not sampled stays so; one that is
// sampled by its client is believed for the same share only, or clients could demand that all is recorded.
func newSampler(share float64) sdktrace.Sampler {
	byID := sdktrace.TraceIDRatioBased(share)
	return sdktrace.ParentBased(byID, sdktrace.WithRemoteParentSampled(byID))
}

// ratio is the sampler's verdict on a trace without a parent, without the cost of starting a span.
func ratio(share float64) func(trace.TraceID) bool {
	byID := sdktrace.TraceIDRatioBased(share)
	return func(id trace.TraceID) bool {
		result := byID.ShouldSample(sdktrace.SamplingParameters{TraceID: id})
		return result.Decision == sdktrace.RecordAndSample
	}
}

// Enabled reports whether spans are exported at all.
func (t *Tracing) Enabled() bool { return t.enabled }

// Tracer makes child spans, of which the context of a [Span] is the parent. It is never nil.
func (t *Tracing) Tracer() trace.Tracer { return t.tracer }

// Start begins the span of a request, given its traceparent and tracestate headers ("" if there are none),
// which may alias request buffers. It must be ended. A traceparent that does not parse begins a new trace.
//
// Without sampling, also when tracing is off, the span only carries identifiers: those of the parent, or
// random ones, so that the log and the upstream have a trace id in any case.
func (t *Tracing) Start(parent, state string) Span {
	remote := t.parse(parent, state)
	if !remote.IsValid() {
		remote = newTrace()
		if t.enabled && t.sampled(remote.TraceID()) {
			return t.record(withTraceID(context.Background(), remote.TraceID()))
		}
		return passive(remote)
	}
	if t.enabled && remote.IsSampled() {
		return t.record(trace.ContextWithRemoteSpanContext(context.Background(), remote))
	}
	return passive(remote)
}

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
	return Span{ctx: ctx, span: span}
}

// passive returns a span that records nothing and hands identifiers on.
func passive(sc trace.SpanContext) Span {
	ctx := trace.ContextWithSpanContext(context.Background(), sc)
	return Span{ctx: ctx, span: trace.SpanFromContext(ctx)}
}

func newTrace() trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: randomTraceID(), SpanID: randomSpanID()})
}

// Inject hands traceparent and, if there is one, tracestate of the span in ctx to set.
func (t *Tracing) Inject(ctx context.Context, set func(key, value string)) {
	t.propagator.Inject(ctx, setter(set))
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
