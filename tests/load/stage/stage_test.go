package stage

import (
	"os"
	"path/filepath"
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
	if err != nil || requests != 160200 || m.PerSecond != 26700.10 || m.P50 != 1800*time.Microsecond || m.P99 != 33*time.Millisecond {
		t.Errorf("got %+v, %v requests, %v", m, requests, err)
	}
	for _, bad := range []string{"", report1 + "  Non-2xx or 3xx responses: 7\n", report1 + "  Socket errors: connect 0, read 3, write 0, timeout 0\n"} {
		if _, _, err := parseWrk(bad); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

func TestOwnUse(t *testing.T) {
	if used, err := CPUTime(os.Getpid()); err != nil || used < 0 {
		t.Errorf("CPU: %v, %v", used, err)
	}
	if mib, err := ResidentMiB(os.Getpid()); err != nil || mib < 1 {
		t.Errorf("memory: %v MiB, %v", mib, err)
	}
}

func TestCoreTime(t *testing.T) {
	const stat = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 1 2 9 9 1 1 4 9 9\ncpu1 100 0 0 9 9 0 0 0 9 9\nintr 1\n"
	for core, want := range map[string]time.Duration{"0": 100 * time.Millisecond, "1": time.Second} {
		if got, err := coreTime(stat, core); err != nil || got != want {
			t.Errorf("core %s: %s, %v", core, got, err)
		}
	}
	if _, err := coreTime(stat, "2"); err == nil {
		t.Error("a core that is not there")
	}
	if got, err := CoreTime("0"); err != nil || got <= 0 {
		t.Errorf("here: %s, %v", got, err)
	}
}

func TestSpread(t *testing.T) {
	if got := SpreadOf([]float64{3, 1, 2}).Format("%.0f"); got != "2 (1–3)" {
		t.Errorf("got %q", got)
	}
}

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.md")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := Place{Command: "make x"}
	write("above\n" + p.Begin() + "old\n" + p.End() + "below\n")
	if err := p.Replace(path, "new\n"); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(path)
	if want := "above\n" + p.Begin() + "new\n" + p.End() + "below\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	write("no place")
	if err := p.Replace(path, "new\n"); err == nil {
		t.Error("a file without markers was written")
	}
}
