package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-api-gateway-pro/gateway/tests/load/stage"
)

func TestResults(t *testing.T) {
	var r results
	for _, cpu := range []float64{30, 40, 20} {
		r.add(nameNginx, stage.Measurement{CPU: cpu})
		r.add(nameNaive, stage.Measurement{CPU: 6 * cpu})
		r.add(nameLimited, stage.Measurement{CPU: 8 * cpu})
		r.add(nameFull, stage.Measurement{CPU: 2.25 * cpu})
	}
	if got := r.ratio(nameFull, nameNginx); got != (stage.Spread{Median: 2.25, Low: 2.25, High: 2.25}) {
		t.Errorf("ratio %v, want 2.25 in every round", got)
	}
	lines, missed := r.judged()
	want := []string{
		"2.25 (2.25–2.25) × " + nameNginx + ", promised ≤ 1.50",
		"0.38 (0.38–0.38) × " + nameNaive + ", promised ≤ 0.25",
	}
	if diff := cmp.Diff(want, missed); diff != "" {
		t.Errorf("missed (-want +got):\n%s", diff)
	}
	want = append(want, "0.28 (0.28–0.28) × "+nameLimited+", promised ≤ 0.40")
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("judged (-want +got):\n%s", diff)
	}
	r.absent = []string{"traefik, bare"}
	if got := r.String(time.Time{}); !strings.Contains(got, "| traefik, bare: not installed here") || !strings.Contains(got, "67.5 (45.0–90.0)") {
		t.Errorf("table:\n%s", got)
	}
}
