package proxy

import (
	"strings"
	"testing"
	"time"
)

// breakerScript plays letters: s, f, n admit a request and end it with success,
// failure or neutral; a admits one and leaves it; S, F end the oldest left one;
// x expects a refusal; w waits a second.
func breakerScript(t *testing.T, script, want string) {
	t.Helper()
	now := time.Unix(0, 0)
	var moves []string
	b := newBreaker(now, func(to breakerState) { moves = append(moves, to.String()) })
	c := BreakerConfig{Failures: 3, OpenMS: 1000}
	verdicts := map[rune]verdict{'s': success, 'f': failure, 'n': neutral, 'S': success, 'F': failure}
	var left []ticket
	for i, op := range script {
		switch op {
		case 'w':
			now = now.Add(time.Second)
		case 'S', 'F':
			b.done(left[0], verdicts[op], now, c)
			left = left[1:]
		default:
			ticket, ok := b.admit(now)
			if ok == (op == 'x') {
				t.Fatalf("%s[%d]: admitted %v in state %s", script, i, ok, b.status().State)
			}
			if op == 'a' {
				left = append(left, ticket)
			} else if ok {
				b.done(ticket, verdicts[op], now, c)
			}
		}
	}
	if got := strings.Join(moves, " "); got != want {
		t.Errorf("%s: got %q, want %q", script, got, want)
	}
}

func TestBreaker(t *testing.T) {
	f := func(script, want string) { t.Helper(); breakerScript(t, script, want) }
	f("ssss", "")
	f("ffsff", "")
	f("fff", "open")
	f("fffxx", "open")
	f("fnfnf", "open")
	f("fffws", "open half_open closed")
	f("fffwaxSs", "open half_open closed")
	f("fffwfxx", "open half_open open")
	f("fffwfwss", "open half_open open half_open closed")
	f("fffwns", "open half_open closed")
	f("afffSx", "open")                     // a late success does not close
	f("aafffwsFs", "open half_open closed") // a late failure does not count
	f("fffwsffs", "open half_open closed")  // the count starts afresh
	f("aaaFFSsff", "")                      // a success among failures clears
	f("fffwaxxFxw", "open half_open open")  // one trial at a time
	f("fffwfws", "open half_open open half_open closed")
}

func TestBreakerStatus(t *testing.T) {
	now := time.Unix(100, 0)
	b := newBreaker(now, func(breakerState) {})
	if s := b.status(); s.State != "closed" || !s.Since.Equal(now) || !s.NextProbe.IsZero() {
		t.Errorf("got %+v", s)
	}
	ticket, _ := b.admit(now)
	b.done(ticket, failure, now.Add(time.Second), BreakerConfig{Failures: 1, OpenMS: 2000})
	if s := b.status(); s.State != "open" || !s.Since.Equal(now.Add(time.Second)) || !s.NextProbe.Equal(now.Add(3*time.Second)) {
		t.Errorf("got %+v", s)
	}
}

func BenchmarkBreaker(b *testing.B) {
	now := time.Now()
	br := newBreaker(now, func(breakerState) {})
	b.ReportAllocs()
	for b.Loop() {
		ticket, _ := br.admit(now)
		br.done(ticket, success, now, BreakerConfig{Failures: 5})
	}
}
