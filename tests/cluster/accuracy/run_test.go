package accuracy

import (
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// A judge that convicts nobody is worth nothing: without Redis, who fails open is
// seen to admit everything, and who falls back to shares is not.
func TestPlayTellsRivalsApart(t *testing.T) {
	l := limit{name: "smoke", keyBy: "global", rate: 30, burst: 6}
	f := func(p policy, lo, hi float64) {
		t.Helper()
		r := play(t, "", scenario{
			name: "no Redis", loads: []load{{limit: l, rate: 600, skew: even(size), keys: 1}},
			lasts: time.Second, orphan: true, rival: p,
		})
		got := admitted(0, 0).figure(&r)
		if got.value < lo || got.value > hi {
			t.Errorf("admitted %s of what is due, want %v to %v", got.shown, lo, hi)
		}
		if saw := r.tally.passed; saw != len(r.admitted) {
			t.Errorf("%d admissions, but clients saw %d", len(r.admitted), saw)
		}
	}
	f(failOpen, 1.5, 50)
	f(coldShare, .5, 1.1)
}

func TestRunWithoutAnswersIsInvalid(t *testing.T) {
	r := run{tally: tally{sent: every(0, time.Millisecond, 100), lost: 2}}
	if r.invalid() == "" {
		t.Error("a run where 2 of 100 requests had no answer counts")
	}
	r.tally.lost = 1
	if why := r.invalid(); why != "" {
		t.Errorf("a run where 1 of 100 requests had no answer does not count: %s", why)
	}
}

// Recovery is judged only if every node took part in it.
func TestReturnedNeedsEveryNode(t *testing.T) {
	switched := func(times ...string) mark {
		var m mark
		for _, n := range times {
			m.nodes = append(m.nodes, harness.ParseMetrics(`gateway_limiter_mode_switches_total{to="redis"} `+n))
		}
		return m
	}
	f := func(want bool, up, end mark) {
		t.Helper()
		r := run{marks: map[string]mark{markUp: up, markEnd: end}}
		if got := r.returned(); got != want {
			t.Errorf("got %t, want %t", got, want)
		}
	}
	f(true, switched("0", "1", "0"), switched("1", "2", "3"))
	f(false, switched("0", "1", "0"), switched("3", "1", "1"))
	f(true, mark{}, mark{})
}
