package telemetry

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestCounts(t *testing.T) {
	route := NewRequests(prometheus.NewRegistry()).Route("/a")
	f := func(wantRequests, wantFailed uint64) {
		t.Helper()
		if requests, failed := route.Counts(); requests != wantRequests || failed != wantFailed {
			t.Errorf("counts %d requests, %d failed; want %d, %d", requests, failed, wantRequests, wantFailed)
		}
	}
	f(0, 0)
	route.Observe("GET", 200, time.Millisecond, "")
	route.Observe("POST", 503, time.Millisecond, "")
	route.Observe("POST", 429, time.Millisecond, "")
	route.Observe("BREW", 599, time.Millisecond, "")
	f(4, 2)
}
