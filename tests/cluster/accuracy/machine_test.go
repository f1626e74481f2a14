package accuracy

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// histogram is what a node says of its checks: all of them, and those in time.
func histogram(all, inTime int) harness.Samples {
	const name = "gateway_limiter_check_seconds"
	return harness.ParseMetrics(fmt.Sprintf("%s_bucket{le=\"0.012\"} %d\n%s_count{} %d\n", name, inTime, name, all))
}

func TestParseTicks(t *testing.T) {
	before := parseTicks("cpu  100 0 100 700 100 0 0 0 50 0")
	after := parseTicks("cpu  160 0 140 790 110 0 0 0 90 0")
	if before.all != 1000 || before.idle != 800 {
		t.Errorf("got %+v, want 800 idle of 1000", before)
	}
	if got := after.since(before); got != .5 {
		t.Errorf("got %v busy, want 0.5", got)
	}
	if got := before.since(before); got != 0 {
		t.Errorf("got %v busy in no time, want 0", got)
	}
}

func TestChildTime(t *testing.T) {
	const stat = "42 (a (strange) name) S 7 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 1 0 100 0 0"
	if got := childTime(stat, 7); got != 2*time.Second {
		t.Errorf("got %s, want 2s", got)
	}
	if got := childTime(stat, 8); got != 0 {
		t.Errorf("got %s of somebody else's child, want 0", got)
	}
}
