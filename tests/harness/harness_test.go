package harness

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/echo"
)

func TestParseMetrics(t *testing.T) {
	m := ParseMetrics(`# HELP x Some {text} 1
x{route="/a b/*",status="2xx"} 3
x{route="/c",status="2xx"} 4
x{route="/c",status="5xx"} 1e2
plain 7
h_bucket{le="0.1"} 8
h_bucket{le="+Inf"} 10
h_count 10
`)
	f := func(want float64, name string, labels ...string) {
		t.Helper()
		if got := m.Sum(name, labels...); got != want {
			t.Errorf("%s%v: got %v, want %v", name, labels, got, want)
		}
	}
	f(107, "x")
	f(7, "x", `status="2xx"`)
	f(3, "x", `status="2xx"`, `route="/a b/*"`)
	f(0, "x", `status="3xx"`)
	f(7, "plain")
	if !m.Has("plain") || m.Has("y") {
		t.Errorf("got plain %t, y %t; want true, false", m.Has("plain"), m.Has("y"))
	}
	if above, all := m.Above("h", "0.1"); above != 2 || all != 10 {
		t.Errorf("got %v of %v above 0.1, want 2 of 10", above, all)
	}
}

func TestLoadRecordsEveryOutcome(t *testing.T) {
	up := echo.New("up")
	web := httptest.NewServer(up)
	defer web.Close()
	got := Load{
		URLs:  []string{web.URL + "/a", web.URL + "/b?status=503", web.URL + "/c?reset=1", web.URL + "/d?delay_ms=50"},
		Count: 40, Rate: 400,
	}.Run(t.Context())
	if len(got) != 40 || got.Count(http.StatusOK) != 20 || got.Count(503) != 10 || got.Count(0) != 10 {
		t.Errorf("got %d outcomes, %d of 200, %d of 503, %d without answer; want 40, 20, 10, 10",
			len(got), got.Count(200), got.Count(503), got.Count(0))
	}
	if n := len(got.Failed()); n != 20 {
		t.Errorf("got %d failed, want 20", n)
	}
	if s := got.Slowest(); s.Took < 50*time.Millisecond {
		t.Errorf("the slowest took %s, want at least 50ms: %+v", s.Took, s)
	}
	if span := got.Span(); span < 95*time.Millisecond {
		t.Errorf("40 requests at 400 a second took %s, want about 100ms", span)
	}
}
