package faults

import (
	"strings"
	"testing"
	"time"
)

func TestPromisesAreBroken(t *testing.T) {
	f := func(p promise, v verdict, want string) {
		t.Helper()
		p.stall = second
		got := strings.Join(p.broken(v), "; ")
		if !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%+v with %+v: got %q, want %q", p, v, got, want)
		}
	}
	f(promise{}, verdict{requests: 9, stall: second}, "")
	f(promise{failed: 3}, verdict{failed: 3, outside: 3}, "")
	f(promise{failed: 3}, verdict{failed: 4}, "4 failed")
	f(promise{underWay: true}, verdict{failed: 9}, "")
	f(promise{underWay: true}, verdict{failed: 9, outside: 2}, "2 failed that were not under way")
	f(promise{}, verdict{lost: 1}, "1 lost")
	f(promise{}, verdict{duplicated: 2}, "2 duplicated")
	f(promise{}, verdict{over: 5}, "5 admitted beyond")
	f(promise{}, verdict{stall: 2 * time.Second}, "a stall of 2s")
}

func TestTableTellsWhatMissed(t *testing.T) {
	all := table{took: 99 * time.Second, lines: []result{
		{fault: fault{name: "one", promise: quiet()}, found: verdict{requests: 100, admitted: .98}},
		{fault: fault{name: "two", promise: forgetful()}, found: verdict{requests: 90, failed: 4}, missed: []string{"a|b"}},
	}}
	text := all.String()
	for _, want := range []string{
		"1 lines hold, 1 missed.", "| one | 0 failed; ≤ 1.02 of B + R·T; stall ≤ 1s | 100 | 0 | 0 | 0 | 0.980 | 0s | 0.0 s | holds |",
		"≤ 1.02 of 2 B + R·T", `MISSED: a\|b |`, "1m39s",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the table does not hold %q:\n%s", want, text)
		}
	}
}
