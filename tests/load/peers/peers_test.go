package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const report1 = `Running 6s test @ http://127.0.0.1:1/api/x
  1 threads and 64 connections
    Latency     2.00ms    1.00ms  40.00ms   88.50%
    Req/Sec    26.70k     1.00k   30.00k    90.99%
  Latency Distribution
     50%    1.80ms
     75%    2.10ms
     99%   33.00ms
  160200 requests in 6.00s, 200.00MB read
Requests/sec:  26700.10
`

func TestParseWrk(t *testing.T) {
	m, requests, err := parseWrk(report1)
	if err != nil || requests != 160200 || m.perSecond != 26700.10 || m.p50 != 1800*time.Microsecond || m.p99 != 33*time.Millisecond {
		t.Errorf("got %+v, %v requests, %v", m, requests, err)
	}
	for _, bad := range []string{"", report1 + "  Non-2xx or 3xx responses: 7\n", report1 + "  Socket errors: connect 0, read 3, write 0, timeout 0\n"} {
		if _, _, err := parseWrk(bad); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

func TestOwnUse(t *testing.T) {
	if used, err := cpuTime(os.Getpid()); err != nil || used < 0 {
		t.Errorf("CPU: %v, %v", used, err)
	}
	if mib, err := residentMiB(os.Getpid()); err != nil || mib < 1 {
		t.Errorf("memory: %v MiB, %v", mib, err)
	}
}

func TestResults(t *testing.T) {
	var r results
	for _, cpu := range []float64{30, 40, 20} {
		r.add(nameNginx, measurement{cpu: cpu})
		r.add(nameFull, measurement{cpu: 2 * cpu})
	}
	if got := r.ratio(nameFull); got != (spread{2, 2, 2}) {
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

func TestReplaceTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.md")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("above\n" + tableBegin + "old\n" + tableEnd + "below\n")
	if err := replaceTable(path, "new\n"); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(path)
	if want := "above\n" + tableBegin + "new\n" + tableEnd + "below\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	write("no place")
	if err := replaceTable(path, "new\n"); err == nil {
		t.Error("a file without markers was written")
	}
}
