package accuracy

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// steadyRun is a run of 5 s that offered its load and admitted n requests.
func steadyRun(n int, busy float64, checks ...check) run {
	s := scenario{name: "a scenario", loads: on(hot(), even(size)), lasts: 5 * time.Second, checks: checks}
	sent := every(0, time.Millisecond, 5001)
	return run{scenario: s, tally: tally{sent: sent}, admitted: every(0, time.Millisecond/2, n), lasted: 5 * time.Second, noise: noise{busy: busy}}
}

func TestLinesAreJudged(t *testing.T) {
	f := func(want outcome, r run) {
		t.Helper()
		if got := r.lines()[0]; got.outcome != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	f(holds, steadyRun(6000, .5, admitted(.985, 1.001)))
	f(missed, steadyRun(6007, .5, admitted(.985, 1.001)))
	f(missed, steadyRun(5909, .5, admitted(.985, 1.001)))
	f(invalid, steadyRun(6007, .8, admitted(.985, 1.001)))
	f(missed, steadyRun(6007, .8, firm(admitted(.985, 1.001))))
	f(holds, steadyRun(6000, .8, admitted(.985, 1.001)))
	f(beside, steadyRun(9000, .5, seen(admitted(0, 0))))
	f(invalid, steadyRun(0, .5, check{what: "x", figure: func(*run) reading { return reading{value: math.NaN()} }}))

	late := steadyRun(6000, .5, admitted(.985, 1.001))
	late.tally.late = 103
	f(invalid, late)
	broken := steadyRun(6000, .5, serverErrors())
	broken.tally.failed, broken.tally.late = 1, 1000
	f(missed, broken)
	silent := steadyRun(6000, .5, serverErrors())
	silent.tally.lost = 51
	f(invalid, silent)
}

func TestWindowOfARunIsBounded(t *testing.T) {
	f := func(want outcome, at []time.Duration) {
		t.Helper()
		r := steadyRun(0, .5, anyWindow())
		r.admitted = at
		if got := r.lines()[0]; got.outcome != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	f(holds, every(0, 0, 1250)) // B + Σk
	f(missed, every(0, 0, 1252))
	f(missed, append(every(0, time.Millisecond, 3000), every(4*time.Second, 0, 1252)...))
}

func TestTailNeedsTimersOnTime(t *testing.T) {
	f := func(want outcome, n noise) {
		t.Helper()
		r := steadyRun(0, 0, tail(markBegin, markEnd))
		r.noise = n
		r.marks = map[string]mark{
			markBegin: {nodes: []harness.Samples{histogram(0, 0)}},
			markEnd:   {nodes: []harness.Samples{histogram(600, 600), histogram(400, 395)}},
		}
		if got := r.lines()[0]; got.outcome != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	f(missed, noise{busy: .5})
	f(holds, noise{busy: .5, late: .0025})
	f(invalid, noise{busy: .5, late: .02})
	f(invalid, noise{busy: .8})
}

func TestTableTellsHowItCameAbout(t *testing.T) {
	r := steadyRun(6000, .5, admitted(.985, 1.001), serverErrors())
	all := table{
		machine: harness.Machine{Cores: "2", Go: "go1", Redis: "7", Commit: "abc"}, command: "make accuracy",
		began: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), took: 99 * time.Second,
		lines: append(r.lines(), unplayed(r.scenario, "a|b", unbuilt)...),
	}
	var text strings.Builder
	if err := all.write(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Commit abc, 2030-01-02 03:04 UTC, `make accuracy`, 1m39s", "2 cores", "Redis 7",
		"2 lines hold, 0 missed, 0 invalid, 2 not built",
		"| a scenario | R=1000 B=1000, 3000/s even | 5s | admitted / (B + R·T) | 0.985 … 1.001 | 1.0000 | holds |",
		"|  |  |  | 5xx | 0 | 0 | holds |", `| a\|b | NOT BUILT |`,
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &text)
		}
	}
}
