package faults

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const (
	calm      = 1500 * time.Millisecond // of load before the fault
	grace     = time.Second             // of load after all is well again
	backLimit = 30 * time.Second        // for all to be well again
	seenLimit = 15 * time.Second        // for a fault to show: a lost peer is missed after 12 s at most
	delivery  = 50 * time.Millisecond   // until a signal is there, and its word
	lateLimit = time.Second / 2         // of the load's own; a miss beyond it tells nothing
	usualRate = 480                     // requests a second
)

// fault is one thing that happens to a cluster under load, and what was promised
// for it.
type fault struct {
	name    string
	rate    int           // requests a second; 0: the usual
	lasts   time.Duration // from do to undo
	do      func(*stage)
	seen    func(*stage) bool // shows that it is there; nil: doing it is seeing it
	undo    func(*stage)      // nil: it is over by itself
	promise promise

	sentinel bool // Redis is one that fails over
	traced   bool // every request is traced
	stepped  bool // Redis' clock can be stepped
	inside   bool // the last node is in this process: its clock can be stepped
	fullDisk bool // the last node's log cannot be written
}

// promise is what may come of a fault at most. Lost and duplicated requests are
// never allowed.
type promise struct {
	failed   int           // requests
	underWay bool          // and only those under way when it happens
	stall    time.Duration // of any request
	bursts   int           // more bursts than the first: Redis forgets
	factor   float64       // admitted of what is due
}

// limit as it is with shares and late charges: DESIGN's bounds are the accuracy
// suite's too.
const usualFactor = 1.02

func (p promise) String() string {
	failed := fmt.Sprintf("%d failed", p.failed)
	if p.underWay {
		failed = "failed: only those under way"
	} else if p.failed > 0 {
		failed = fmt.Sprintf("≤ %d failed", p.failed)
	}
	due := "B"
	if p.bursts > 0 {
		due = fmt.Sprintf("%d B", p.bursts+1)
	}
	return fmt.Sprintf("%s; ≤ %.2f of %s + R·T; stall ≤ %s", failed, p.factor, due, p.stall)
}

// result is a line of the table.
type result struct {
	fault  fault
	found  verdict
	back   time.Duration // from the end of the fault until all was well, and no request failed
	missed []string      // promises that were not kept
}

func (r result) String() string {
	v := r.found
	return fmt.Sprintf("%-28s %d requests, %d failed (%d not under way), %d lost, %d duplicated, admitted %.3f (%d beyond), stall %s, back after %s: %s",
		r.fault.name, v.requests, v.failed, v.outside, v.lost, v.duplicated, v.admitted, v.over, v.stall.Round(time.Millisecond), r.back.Round(10*time.Millisecond), r.verdict())
}

func (r result) verdict() string {
	if len(r.missed) == 0 {
		return "holds"
	}
	if late := r.found.late; late > lateLimit {
		return fmt.Sprintf("INVALID: the machine sent requests %s late; %s", late.Round(time.Millisecond), strings.Join(r.missed, "; "))
	}
	return "MISSED: " + strings.Join(r.missed, "; ")
}

// play brings up a cluster, lets the fault happen to it and judges.
func play(tb testing.TB, binary harness.Binary, f fault) result {
	tb.Helper()
	st := newStage(tb, binary, f)
	ctx, stop := context.WithCancel(tb.Context())
	if f.rate == 0 {
		f.rate = usualRate
	}
	l, ids, sent := newLoad(st, f.rate), 0, make(chan []request, 1)
	var sending sync.WaitGroup
	sending.Go(func() { sent <- l.run(ctx, &ids) })
	defer sending.Wait()
	defer stop()
	st.ledger.take()

	time.Sleep(calm)
	r := result{fault: f}
	moment := span{from: st.clock.now()}
	f.do(st)
	moment.to = st.clock.now() + delivery
	if f.seen != nil && !within(seenLimit, func() bool { return f.seen(st) }) {
		r.missed = append(r.missed, "the fault is not to be seen")
	}
	time.Sleep(moment.from + f.lasts - st.clock.now())
	if f.undo != nil {
		f.undo(st)
	}
	ended := st.clock.now()
	ill := ""
	if !within(backLimit, func() bool { ill = st.ill(); return ill == "" }) {
		r.missed = append(r.missed, "not well after "+backLimit.String()+": "+ill)
	}
	r.back = st.clock.now() - ended
	time.Sleep(grace)
	stop()
	requests := <-sent
	r.found = judge(requests, st.ledger.take(), moment, f.promise.allowance())
	r.back = max(r.back, r.found.lastBad-ended)
	r.missed = append(r.missed, f.promise.broken(r.found)...)
	return r
}

func (p promise) allowance() allowance {
	return allowance{rate: userRate, burst: userBurst, bursts: 1 + p.bursts, factor: p.factor}
}

// broken says what is not as promised.
func (p promise) broken(v verdict) []string {
	var all []string
	add := func(broken bool, format string, args ...any) {
		if broken {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	add(!p.underWay && v.failed > p.failed, "%d failed, the first: %s %s by %s, status %d, %v", v.failed, v.firstBad.method, v.firstBad.id, v.firstBad.node, v.firstBad.status, v.firstBad.err)
	add(p.underWay && v.outside > 0, "%d failed that were not under way", v.outside)
	add(v.lost > 0, "%d lost", v.lost)
	add(v.duplicated > 0, "%d duplicated", v.duplicated)
	add(v.over > 0, "%d admitted beyond the limit", v.over)
	add(v.stall > p.stall, "a stall of %s", v.stall.Round(time.Millisecond))
	return all
}

// within asks again until ok is true; it is false after limit.
func within(limit time.Duration, ok func() bool) bool {
	for start := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(start) > limit {
			return false
		}
	}
	return true
}
