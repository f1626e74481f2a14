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
	"testing/synctest"
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
	f(2, 0, 502)
	f(2, 0, 503)
	f(2, 0, 504)
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
		tracing.Start("", "", false).End(SpanEnd{Method: "GET", Status: 200})
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
			tracing.Start("", "", false).End(SpanEnd{Method: "GET", Status: 200})
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

// A collector may be ill in any way: what it costs is spans, each of them counted.
func TestIllCollectors(t *testing.T) {
	f := func(what string, wantDropped int, serve http.HandlerFunc) {
		t.Helper()
		server := httptest.NewServer(serve)
		defer server.Close()
		tracing := newTestTracing(t, server.URL, 1)
		for range 10 {
			tracing.Start("", "", false).End(SpanEnd{Method: "GET", Status: 200})
		}
		if err := tracing.Close(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := value(t, tracing.spans.dropped); got != wantDropped {
			t.Errorf("%s: %d dropped, want %d", what, got, wantDropped)
		}
	}
	raw := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, answer)
		}
	}
	f("fine", 0, func(http.ResponseWriter, *http.Request) {})
	f("an error", 10, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	f("busy for long", 10, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(429)
	})
	f("no HTTP", 10, raw("SSH-2.0-OpenSSH_9.6\r\n"))
	f("half an answer", 10, raw("HTTP/1.1 200"))
	f("nothing", 10, raw(""))
	f("headers without end", 10, raw("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 2<<20)))
	f("200 and words", 0, raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\xff\xff\xff garbage"))
}

func TestExporterHeedsRetryAfter(t *testing.T) {
	posts, answer, at := 0, "", time.Unix(1_700_000_000, 0)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		posts++
		w.Header().Set("Retry-After", answer)
		w.WriteHeader(429)
	}))
	defer server.Close()
	e := newTestExporter(t, server.URL, &bytes.Buffer{})
	e.now = func() time.Time { return at }
	f := func(after time.Duration, retryAfter string, wantPosts, wantDropped int) {
		t.Helper()
		at, answer = at.Add(after), retryAfter
		e.export(t.Context(), someSpans(3))
		if got := value(t, e.dropped); posts != wantPosts || got != wantDropped {
			t.Errorf("after %s: %d posts, %d dropped, want %d and %d", after, posts, got, wantPosts, wantDropped)
		}
	}
	f(0, "soon", 2, 3) // nothing understood: once more after a moment
	f(0, "0", 4, 6)
	f(0, "60", 5, 9) // too long to wait for with spans in hand
	f(59*time.Second, "0", 5, 12)
	f(time.Second, "0", 7, 15)
	f(0, at.Add(30*time.Second).UTC().Format(http.TimeFormat), 8, 18)
	f(29*time.Second, "0", 8, 21)
	f(time.Second, "86400", 9, 24) // believed for a while only
	f(maxQuiet, "0", 11, 27)
}

func TestRetryAfterIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var posts []time.Time
		e := newTestExporter(t, "http://collector/", &bytes.Buffer{})
		e.client.Transport = roundTripper(func(*http.Request) (*http.Response, error) {
			posts = append(posts, time.Now())
			h := http.Header{"Retry-After": {"4"}}
			return &http.Response{StatusCode: []int{429, 200}[len(posts)-1], Header: h, Body: http.NoBody}, nil
		})
		e.export(t.Context(), someSpans(3))
		if len(posts) != 2 || posts[1].Sub(posts[0]) != 4*time.Second || value(t, e.dropped) != 0 {
			t.Errorf("posted at %v, %d dropped", posts, value(t, e.dropped))
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
