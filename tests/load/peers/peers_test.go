package main

import (
	"strings"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/load/stage"
)

func TestResults(t *testing.T) {
	var r results
	for _, cpu := range []float64{30, 40, 20} {
		r.add(nameNginx, stage.Measurement{CPU: cpu})
		r.add(nameFull, stage.Measurement{CPU: 2 * cpu})
	}
	if got := r.ratio(nameFull); got != (stage.Spread{Median: 2, Low: 2, High: 2}) {
		t.Errorf("ratio %v, want 2 in every round", got)
	}
	if got := r.missed(); len(got) != 1 || !strings.Contains(got[0], "2.00") {
		t.Errorf("missed %q", got)
	}
	r.absent = []string{"traefik, bare"}
	if got := r.String(time.Time{}); !strings.Contains(got, "| traefik, bare: not installed here") || !strings.Contains(got, "60.0 (40.0–80.0)") {
		t.Errorf("table:\n%s", got)
	}
}
