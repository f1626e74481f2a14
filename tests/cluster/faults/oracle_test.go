package faults

import (
	"fmt"
	"testing"
	"time"
)

// well is a run in which nothing went wrong: n requests, one each 10 ms, which all
// reach the upstream and take 5 ms.
func well(n int, method, user string) ([]request, []hit) {
	var requests []request
	var hits []hit
	for i := range n {
		at := time.Duration(i) * 10 * time.Millisecond
		id := fmt.Sprint(i)
		requests = append(requests, request{id: id, method: method, user: user, sent: at, done: at + 5*time.Millisecond, status: 200, own: true})
		hits = append(hits, hit{id: id, at: at})
	}
	return requests, hits
}

func TestJudgeFindsWhatWentWrong(t *testing.T) {
	generous := allowance{rate: 1000, burst: 1000, bursts: 1, factor: 1}
	f := func(what string, spoil func(r []request, h []hit) []hit, want verdict) {
		t.Helper()
		requests, hits := well(100, "POST", "ann")
		hits = spoil(requests, hits)
		got := judge(requests, hits, span{500 * time.Millisecond, 510 * time.Millisecond}, generous)
		if got.failed != want.failed || got.outside != want.outside || got.lost != want.lost || got.duplicated != want.duplicated || got.over != 0 {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	f("nothing", func(_ []request, h []hit) []hit { return h }, verdict{})
	f("a hit that is missing", func(_ []request, h []hit) []hit { return h[1:] }, verdict{lost: 1})
	f("another's answer", func(r []request, h []hit) []hit { r[3].own = false; return h }, verdict{lost: 1})
	f("a POST that came twice", func(_ []request, h []hit) []hit { return append(h, h[7]) }, verdict{duplicated: 1})
	f("a GET that came twice", func(r []request, h []hit) []hit { r[7].method = "GET"; return append(h, h[7]) }, verdict{})
	f("a failure at the moment", func(r []request, h []hit) []hit { r[50].status = 502; return h }, verdict{failed: 1})
	f("a failure before the moment", func(r []request, h []hit) []hit { r[9].status = 502; return h }, verdict{failed: 1, outside: 1})
	f("no answer, after the moment", func(r []request, h []hit) []hit { r[99].status = 0; return h }, verdict{failed: 1, outside: 1})
	f("a 401", func(r []request, h []hit) []hit { r[5].status = 401; return h }, verdict{failed: 1, outside: 1})
	f("a 429", func(r []request, h []hit) []hit { r[5].status = 429; return append(h[:5:5], h[6:]...) }, verdict{})
}

func TestJudgeFindsTheLastFailureAndTheLongestStall(t *testing.T) {
	requests, hits := well(100, "GET", "")
	requests[40].status, requests[60].done = 503, 2*time.Second
	got := judge(requests, hits, span{}, allowance{})
	if want := 405 * time.Millisecond; got.lastBad != want {
		t.Errorf("the last failure came at %s, want %s", got.lastBad, want)
	}
	if want := 1400 * time.Millisecond; got.stall != want {
		t.Errorf("the longest stall is %s, want %s", got.stall, want)
	}
}

// 100 hits within a second, of a bucket of 10 and 50 a second: 60 are due.
func TestJudgeFindsWhatIsAdmittedBeyondTheLimit(t *testing.T) {
	requests, hits := well(100, "GET", "ann")
	f := func(a allowance, over int) {
		t.Helper()
		if got := judge(requests, hits, span{}, a); got.over != over {
			t.Errorf("%+v: got %d beyond the limit, want %d", a, got.over, over)
		}
	}
	f(allowance{rate: 50, burst: 10, bursts: 1, factor: 1}, 40)
	f(allowance{rate: 50, burst: 10, bursts: 2, factor: 1}, 30)
	f(allowance{rate: 50, burst: 50, bursts: 1, factor: 1.01}, 0)
}
