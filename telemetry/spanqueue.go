package telemetry

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const (
	maxQueuedSpans = 4096
	maxBatchSpans  = 512
	batchDelay     = 2 * time.Second
)

// spanQueue stands before the SDK's batch processor, which drops without telling. It admits as many spans as
// the processor has room for, so that every drop happens here, or in the exporter, and is counted.
type spanQueue struct {
	batches  sdktrace.SpanProcessor
	exporter *exporter
	dropped  prometheus.Counter
	queued   atomic.Int64 // spans admitted that the exporter has not seen
	closed   atomic.Bool
	done     chan struct{} // closed when the batch processor has stopped
}

var _ sdktrace.SpanProcessor = (*spanQueue)(nil)

func newSpanQueue(e *exporter, dropped prometheus.Counter) *spanQueue {
	q := &spanQueue{exporter: e, dropped: dropped, done: make(chan struct{})}
	q.batches = sdktrace.NewBatchSpanProcessor(spanSink{q},
		sdktrace.WithMaxQueueSize(maxQueuedSpans),
		sdktrace.WithMaxExportBatchSize(maxBatchSpans),
		sdktrace.WithBatchTimeout(batchDelay),
		sdktrace.WithExportTimeout(2*attemptTimeout+maxRetryPause), // two attempts and the pause between them
	)
	return q
}

// OnStart implements [sdktrace.SpanProcessor].
func (q *spanQueue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd implements [sdktrace.SpanProcessor]. It never blocks.
func (q *spanQueue) OnEnd(s sdktrace.ReadOnlySpan) {
	if q.closed.Load() {
		q.dropped.Inc()
		return
	}
	if q.queued.Add(1) > maxQueuedSpans {
		q.queued.Add(-1)
		q.dropped.Inc()
		return
	}
	q.batches.OnEnd(s)
}

// ForceFlush implements [sdktrace.SpanProcessor].
func (q *spanQueue) ForceFlush(ctx context.Context) error { return q.batches.ForceFlush(ctx) }

// Shutdown implements [sdktrace.SpanProcessor]: it exports what is queued. When ctx ends first the exporter
// is cut off, and what it then fails to send is counted.
func (q *spanQueue) Shutdown(ctx context.Context) error {
	q.closed.Store(true)
	err := q.batches.Shutdown(ctx)
	q.exporter.stop()
	<-q.done
	// A span that ended during the shutdown may have been turned away by the batch processor.
	q.dropped.Add(float64(max(q.queued.Swap(0), 0)))
	return err
}

// spanSink is the end of the batch processor: it makes room in the queue and exports.
type spanSink struct {
	queue *spanQueue
}

// ExportSpans implements [sdktrace.SpanExporter]. It returns no error, because the SDK would print it with
// a global logger.
func (s spanSink) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	s.queue.queued.Add(-int64(len(spans)))
	s.queue.exporter.export(ctx, spans)
	return nil
}

// Shutdown implements [sdktrace.SpanExporter]; the batch processor calls it last.
func (s spanSink) Shutdown(context.Context) error {
	close(s.queue.done)
	return nil
}
