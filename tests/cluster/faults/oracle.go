package faults

import (
	"fmt"
	"time"
)

// The one bucket that all limited requests share.
const (
	limitRate  = 100 // tokens per second
	limitBurst = 100
)

// observed is what a run cost the clients.
type observed struct {
	requests   int
	failed     []shot // no whole answer, or another than success and, where limited, 429
	lost       int    // answered with success, but never seen by an upstream
	duplicated int    // POSTs that arrived more than once
	over       float64
	stall      time.Duration
	lastBad    time.Duration // when the last failed request was answered
}

// observe compares what was sent with what arrived.
func observe(shots []shot, arrived func(number string) int) observed {
	o := observed{requests: len(shots)}
	admitted := 0
	first, last := time.Duration(1<<62), time.Duration(0)
	for _, s := range shots {
		hits := arrived(s.number)
		o.stall = max(o.stall, s.done-s.sent)
		if !s.good() {
			o.failed = append(o.failed, s)
			o.lastBad = max(o.lastBad, s.done)
		}
		if s.status >= 200 && s.status < 300 && hits == 0 {
			o.lost++
		}
		switch s.kind {
		case kindPost:
			o.duplicated += max(hits-1, 0)
		case kindTaken:
			admitted += min(hits, 1)
			first, last = min(first, s.sent), max(last, s.sent)
		}
	}
	if last > first {
		o.over = float64(admitted) / (limitBurst + limitRate*(last-first).Seconds())
	}
	return o
}

// bound is what a run may cost.
type bound struct {
	excuse    excuse
	over      float64       // admitted / (B + R·T) at most
	stall     time.Duration // the longest answer
	recovered time.Duration // after the fault has ended
}

// promised is what holds for every fault unless it says otherwise.
func promised() bound {
	return bound{excuse: none(), over: 1.02, stall: 2 * time.Second, recovered: 30 * time.Second}
}

// atOnce is how long it may take from the decision to the deed.
const atOnce = 5 * time.Millisecond

// excuse tells which requests may fail.
type excuse struct {
	words  string
	covers func(s shot, from, to time.Duration) bool // of a fault that lasted so long
}

func none() excuse {
	return excuse{"none", func(shot, time.Duration, time.Duration) bool { return false }}
}

// inFlight are the requests that were on their way when it happened.
func inFlight() excuse {
	return excuse{"those in flight", func(s shot, from, _ time.Duration) bool {
		return s.sent <= from+atOnce && s.done >= from
	}}
}

// meanwhile are those that met the fault.
func meanwhile() excuse {
	return excuse{"while it lasts", func(s shot, from, to time.Duration) bool { return s.done >= from && s.sent <= to }}
}

// few are at most so many of those that met the fault, until breakers open.
func few(most int) excuse {
	met, n := meanwhile(), 0
	return excuse{fmt.Sprintf("≤ %d", most), func(s shot, from, to time.Duration) bool {
		if !met.covers(s, from, to) {
			return false
		}
		n++
		return n <= most
	}}
}

// misses lists what a run cost beyond its bound.
func (b bound) misses(o observed, r run) []string {
	var all []string
	miss := func(bad bool, format string, args ...any) {
		if bad {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	for _, s := range o.failed {
		if !b.excuse.covers(s, r.began, r.ended) {
			all = append(all, fmt.Sprintf("%s failed after %s with %d %.200s; sent at %s, the fault %s to %s", s.number, s.done-s.sent, s.status, s.why, s.sent, r.began, r.ended))
		}
	}
	miss(o.lost > 0, "%d lost", o.lost)
	miss(o.duplicated > 0, "%d duplicated", o.duplicated)
	miss(o.over > b.over, "admitted %.4f of B + R·T, want at most %.2f", o.over, b.over)
	miss(o.stall > b.stall, "the longest answer took %s, want at most %s", o.stall, b.stall)
	miss(r.recovered > b.recovered, "recovered after %s, want at most %s", r.recovered, b.recovered)
	return all
}
