package telemetry

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// aliased returns a string over a buffer, as fasthttp does.
func aliased(buffer []byte) string { return unsafe.String(unsafe.SliceData(buffer), len(buffer)) }

func newTestExporter(tb testing.TB, endpoint string, log *bytes.Buffer) *exporter {
	e := newExporter(endpoint, zerolog.New(log), prometheus.NewCounter(prometheus.CounterOpts{Name: "dropped"}))
	e.pause = time.Millisecond
	tb.Cleanup(e.stop)
	return e
}

func someSpans(n int) []sdktrace.ReadOnlySpan {
	return make(tracetest.SpanStubs, n).Snapshots()
}

func TestExporterStatuses(t *testing.T) {
	f := func(wantRequests, wantDropped int, statuses ...int) {
		t.Helper()
		c := newCollector(t, statuses...)
		e := newTestExporter(t, c.URL, &bytes.Buffer{})
		e.export(t.Context(), someSpans(3))
		if got := value(t, e.dropped); len(c.requests) != wantRequests || got != wantDropped {
			t.Errorf("%v: %d requests, %d dropped", statuses, len(c.requests), got)
		}
	}
	f(1, 0, 200)
	f(1, 0, 202)
	f(1, 3, 400)
	f(1, 3, 404)
	f(1, 3, 500)
	f(1, 3, 302)
	f(2, 0, 429)
	f(2, 0, 503)
	f(2, 3, 503, 503)
	f(2, 3, 429, 500)
}

func TestExporterCountsRejectedSpans(t *testing.T) {
	c := newCollector(t)
	answer, err := proto.Marshal(&collectorpb.ExportTraceServiceResponse{
		PartialSuccess: &collectorpb.ExportTracePartialSuccess{RejectedSpans: 2, ErrorMessage: "too old"},
	})
	if err != nil {
		t.Fatal(err)
	}
	f := func(answer []byte, want int) {
		t.Helper()
		c.answer = answer
		e := newTestExporter(t, c.URL, &bytes.Buffer{})
		e.export(t.Context(), someSpans(3))
		if got := value(t, e.dropped); got != want {
			t.Errorf("%d dropped, want %d", got, want)
		}
	}
	f(answer, 2)
	f([]byte("{}"), 0)
	f(bytes.Repeat([]byte("x"), 2*maxResponseBytes), 0)
}

func TestExporterLogsOncePerMinute(t *testing.T) {
	c := newCollector(t, 500, 500, 500, 500)
	var log bytes.Buffer
	e := newTestExporter(t, c.URL, &log)
	at := time.Unix(1_700_000_000, 0)
	e.now = func() time.Time { return at }
	f := func(after time.Duration, wantLines int) {
		t.Helper()
		at = at.Add(after)
		e.export(t.Context(), someSpans(3))
		if got := strings.Count(log.String(), "\n"); got != wantLines {
			t.Errorf("%d lines, want %d: %s", got, wantLines, &log)
		}
	}
	f(0, 1)
	f(59*time.Second, 1)
	f(time.Second, 2)
	f(time.Second, 2)
	if !strings.Contains(log.String(), `"spans":6`) {
		t.Errorf("the second line does not count what was not logged: %s", &log)
	}
}

// newHangingCollector accepts requests, reports each and never answers.
func newHangingCollector(tb testing.TB) (server *httptest.Server, reached chan struct{}) {
	reached = make(chan struct{}, 64)
	server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client is gone
		reached <- struct{}{}
		<-r.Context().Done()
	}))
	tb.Cleanup(server.Close)
	return server, reached
}

func TestExporterStopCutsOff(t *testing.T) {
	server, reached := newHangingCollector(t)
	e := newTestExporter(t, server.URL, &bytes.Buffer{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.export(context.Background(), someSpans(1))
	}()
	<-reached
	e.stop()
	<-done
	if value(t, e.dropped) != 1 {
		t.Error("not counted")
	}
}

// deadEndpoint returns an address on which nobody listens.
func deadEndpoint(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestDeadCollector(t *testing.T) {
	var log bytes.Buffer
	tracing := newLoggedTracing(t, deadEndpoint(t), 1, zerolog.New(&log))
	for range 2 * maxQueuedSpans {
		tracing.Start("", "").End(SpanEnd{Method: "GET", Status: 200})
	}
	if err := tracing.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if got := value(t, tracing.spans.dropped); got != 2*maxQueuedSpans {
		t.Errorf("%d dropped, want %d", got, 2*maxQueuedSpans)
	}
	if got := strings.Count(log.String(), "\n"); got != 1 {
		t.Errorf("%d lines logged", got)
	}
}

func TestSlowCollector(t *testing.T) {
	server, reached := newHangingCollector(t)
	tracing := newTestTracing(t, server.URL, 1)
	end := func(n int) {
		for range n {
			tracing.Start("", "").End(SpanEnd{Method: "GET", Status: 200})
		}
	}
	end(maxBatchSpans)
	<-reached // the exporter hangs in its first batch; requests go on
	end(2 * maxQueuedSpans)
	if got := value(t, tracing.spans.dropped); got != maxQueuedSpans {
		t.Errorf("%d dropped, want %d", got, maxQueuedSpans)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tracing.Close(ctx); err == nil {
		t.Error("closing lost spans and says nothing")
	}
	end(1)
	if got, want := value(t, tracing.spans.dropped), maxBatchSpans+2*maxQueuedSpans+1; got != want {
		t.Errorf("%d dropped in the end, want %d", got, want)
	}
}
