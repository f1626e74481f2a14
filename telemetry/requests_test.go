package telemetry

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// series returns the exposition's sample lines that begin with a prefix.
func series(tb testing.TB, g prometheus.Gatherer, prefix string) []string {
	tb.Helper()
	var out strings.Builder
	if err := NegotiateMetrics("").Write(&out, g); err != nil {
		tb.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, prefix) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

func TestRequestsCount(t *testing.T) {
	f := func(method string, status int, want string) {
		t.Helper()
		reg := prometheus.NewRegistry()
		NewRequests(reg).Route("/users/{id}").Observe(method, status, 3*time.Millisecond, "")
		got := series(t, reg, "http_requests_total")
		if len(got) != 1 || got[0] != `http_requests_total{method="`+want+` 1` {
			t.Errorf("got %q", got)
		}
	}
	f("GET", 200, `GET",route="/users/{id}",status="2xx"}`)
	f("HEAD", 304, `HEAD",route="/users/{id}",status="3xx"}`)
	f("POST", 404, `POST",route="/users/{id}",status="4xx"}`)
	f("PUT", 101, `PUT",route="/users/{id}",status="1xx"}`)
	f("PATCH", 599, `PATCH",route="/users/{id}",status="5xx"}`)
	f("DELETE", 0, `DELETE",route="/users/{id}",status="other"}`)
	f("CONNECT", 600, `CONNECT",route="/users/{id}",status="other"}`)
	f("OPTIONS", 204, `OPTIONS",route="/users/{id}",status="2xx"}`)
	f("TRACE", 405, `TRACE",route="/users/{id}",status="4xx"}`)
	f("BREW", 405, `OTHER",route="/users/{id}",status="4xx"}`)
	f("get", 200, `OTHER",route="/users/{id}",status="2xx"}`)
}

func TestRequestsDuration(t *testing.T) {
	reg := prometheus.NewRegistry()
	r := NewRequests(reg)
	r.Route("/a").Observe(http.MethodGet, 200, 3*time.Millisecond, "")
	r.InFlight().Inc()
	for _, want := range []string{
		`http_request_duration_seconds_bucket{route="/a",le="0.002"} 0`,
		`http_request_duration_seconds_bucket{route="/a",le="0.005"} 1`,
		`http_request_duration_seconds_bucket{route="/a",le="10"} 1`,
		`http_request_duration_seconds_sum{route="/a"} 0.003`,
		`http_requests_in_flight 1`,
	} {
		if len(series(t, reg, want)) != 1 {
			t.Errorf("no %s", want)
		}
	}
}

func TestRouteHasNoSeriesBeforeUse(t *testing.T) {
	reg := prometheus.NewRegistry()
	r := NewRequests(reg)
	if first, second := r.Route("/a"), r.Route("/a"); first != second {
		t.Error("one label, two routes")
	}
	if got := series(t, reg, "http_request"); len(got) != 1 { // in flight
		t.Errorf("got %q", got)
	}
}

func TestRetain(t *testing.T) {
	reg := prometheus.NewRegistry()
	r := NewRequests(reg)
	kept, gone, unused := r.Route("/kept"), r.Route("/gone"), r.Route("/unused")
	kept.Observe("GET", 200, time.Millisecond, "")
	gone.Observe("GET", 200, time.Millisecond, "")
	r.Retain(map[string]bool{"/kept": true})
	// Requests that were running on the old routes end, in old series and in ones not made yet.
	gone.Observe("GET", 200, time.Millisecond, "")
	gone.Observe("GET", 500, time.Millisecond, "")
	unused.Observe("GET", 200, time.Millisecond, "")
	kept.Observe("GET", 200, time.Millisecond, "")
	if got := series(t, reg, "http_requests_total"); len(got) != 1 || !strings.HasSuffix(got[0], ` 2`) {
		t.Errorf("got %q", got)
	}
	if got := series(t, reg, "http_request_duration_seconds_count"); len(got) != 1 {
		t.Errorf("got %q", got)
	}
	r.Route("/gone").Observe("GET", 200, time.Millisecond, "")
	if got := series(t, reg, `http_requests_total{method="GET",route="/gone",status="2xx"} 1`); len(got) != 1 {
		t.Errorf("a route that came back: got %q", series(t, reg, "http_requests_total"))
	}
}

func TestRequestsConcurrently(t *testing.T) {
	reg := prometheus.NewRegistry()
	r := NewRequests(reg)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				r.Route("/a").Observe("GET", 200, time.Millisecond, "")
				r.Route("/b").Observe("GET", 200, time.Millisecond, "")
				r.Retain(map[string]bool{"/a": true})
			}
		})
	}
	wg.Wait()
	if got := series(t, reg, `http_requests_total{method="GET",route="/a",status="2xx"} 1600`); len(got) != 1 {
		t.Errorf("got %q", series(t, reg, "http_requests_total"))
	}
	if got := series(t, reg, `http_requests_total{method="GET",route="/b"`); len(got) != 0 {
		t.Errorf("a retired route is back: %q", got)
	}
}

func TestObserveAllocs(t *testing.T) {
	rt := NewRequests(prometheus.NewRegistry()).Route("/a")
	if n := testing.AllocsPerRun(100, func() { rt.Observe("GET", 200, time.Millisecond, "") }); n > 0 {
		t.Errorf("%g allocations per request", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	rt := NewRequests(prometheus.NewRegistry()).Route("/a")
	b.ReportAllocs()
	for b.Loop() {
		rt.Observe("GET", 200, 3*time.Millisecond, "")
	}
}

func TestBuildInfo(t *testing.T) {
	reg := prometheus.NewRegistry()
	BuildInfo(reg, "v1.2.3", "go1.26")
	if got := series(t, reg, `gateway_build_info{commit="unknown",goversion="go1.26",version="v1.2.3"} 1`); len(got) != 1 {
		t.Errorf("got %q", series(t, reg, "gateway"))
	}
}

func TestMetricsErrors(t *testing.T) {
	reg := prometheus.NewRegistry()
	BuildInfo(reg, "v1", "go1")
	if err := NegotiateMetrics("").Write(failingWriter{}, reg); err == nil {
		t.Error("a failed write is silent")
	}
	broken := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, _ := reg.Gather()
		return families, errors.New("half of it is missing")
	})
	var out strings.Builder
	if err := NegotiateMetrics("").Write(&out, broken); err == nil || !strings.Contains(out.String(), "gateway_build_info") {
		t.Errorf("got %v and %q", err, out.String())
	}
}

func TestDurationBucketsFitThePromises(t *testing.T) {
	bounds := durationBuckets()
	for i, bound := range bounds[1:] {
		if bound > .001 && bound <= .1 && bound > 1.51*bounds[i] {
			t.Errorf("from %g to %g is a step too wide", bounds[i], bound)
		}
	}
	for _, want := range []float64{.001, .01, .1} {
		if !slices.Contains(bounds, want) {
			t.Errorf("no bound at %g", want)
		}
	}
}

func TestExemplar(t *testing.T) {
	reg := prometheus.NewRegistry()
	rt := NewRequests(reg).Route("/a")
	rt.Observe("GET", 200, 3*time.Millisecond, testTrace)
	rt.Observe("GET", 200, 30*time.Millisecond, "")
	f := func(accept, wantType string, wantExemplars int, wantEnd bool) {
		t.Helper()
		format := NegotiateMetrics(accept)
		var out strings.Builder
		if err := format.Write(&out, reg); err != nil {
			t.Fatal(err)
		}
		got := strings.Count(out.String(), `# {trace_id="`+testTrace+`"} 0.003`)
		if !strings.HasPrefix(format.ContentType, wantType) || got != wantExemplars || strings.HasSuffix(out.String(), "# EOF\n") != wantEnd {
			t.Errorf("%q: %s, %d exemplars in\n%s", accept, format.ContentType, got, out.String())
		}
	}
	const text, open = "text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0"
	f("", text, 0, false)
	f("*/*", text, 0, false)
	f("text/html", text, 0, false)
	f("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", text, 0, false)
	f("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", open, 1, true)
	f("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", open, 1, true)
}
