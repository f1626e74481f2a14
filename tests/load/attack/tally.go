package attack

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Tally counts the answers to one target.
type Tally struct {
	Target Target
	wanted float64 // requests that were to leave; 0: as many as are answered

	Admitted, Refused, Others int // 2xx, 429 that say when to come back, anything else
	Odd                       []string
	metrics                   vegeta.Metrics
}

const (
	shownOdd   = 5
	refusedSay = "Retry-After"
)

func (t *Tally) add(r *vegeta.Result) {
	t.metrics.Add(r)
	switch code := int(r.Code); {
	case code >= 200 && code < 300:
		t.Admitted++
	case code == http.StatusTooManyRequests && wholeSeconds.MatchString(r.Headers.Get(refusedSay)):
		t.Refused++
	default:
		t.Others++
		if len(t.Odd) < shownOdd {
			t.Odd = append(t.Odd, fmt.Sprintf("%s: status %d, %s", r.URL, code, r.Error))
		}
	}
}

var wholeSeconds = regexp.MustCompile(`^[1-9][0-9]*$`)

// Offered is how many requests left.
func (t *Tally) Offered() int { return t.Admitted + t.Refused + t.Others }

// percentile of the time to an answer.
func (t *Tally) percentile(p float64) time.Duration { return t.metrics.Latencies.Quantile(p) }

// Verdict is one threshold of one target, met or not.
type Verdict struct {
	Target, What, Wanted, Got string
	Holds                     bool
}

// Judge holds each tally against the scenario's thresholds.
func (a *Attack) Judge(tallies []Tally) (all []Verdict) {
	for i := range tallies {
		t, l := &tallies[i], a.Scenario.Thresholds
		add := func(what, wanted, got string, holds bool) {
			all = append(all, Verdict{t.Target.Name, what, wanted, got, holds})
		}
		errors, refusals := t.Others, "429 is one"
		if l.Admitted == nil {
			errors += t.Refused
		} else {
			refusals = "429 is none"
		}
		part := float64(errors) / float64(max(t.Offered(), 1))
		add("errors, "+refusals, fmt.Sprintf("≤ %g", l.Errors), fmt.Sprintf("%.4f", part), t.Offered() > 0 && part <= l.Errors)
		if l.Offered > 0 && t.wanted > 0 {
			left := float64(t.Offered()) / t.wanted
			add("offered of what was to be", fmt.Sprintf("≥ %g", l.Offered), fmt.Sprintf("%.3f", left), left >= l.Offered)
		}
		if l.P99MS > 0 {
			p99 := t.percentile(0.99)
			add("p99", fmt.Sprintf("< %g ms", l.P99MS), millis(p99), float64(p99)/float64(time.Millisecond) < l.P99MS)
		}
		if l.Admitted != nil {
			low, high := a.admitted(t)
			add("admitted of what is due", fmt.Sprintf("%g … %g", l.Admitted.Least, l.Admitted.Most), fmt.Sprintf("%.3f", low), low >= l.Admitted.Least && high <= l.Admitted.Most)
		}
	}
	return all
}

// admitted is what was admitted of what was due by the last request sent, and by the
// last one answered: on its way a request may wait, and buckets fill meanwhile.
func (a *Attack) admitted(t *Tally) (sent, answered float64) {
	m := &t.metrics
	got := float64(t.Admitted)
	return got / a.File.due(t.Target, m.Latest.Sub(m.Earliest)), got / a.File.due(t.Target, m.End.Sub(m.Earliest))
}

// Failed counts the verdicts that do not hold.
func Failed(all []Verdict) (n int) {
	for _, v := range all {
		if !v.Holds {
			n++
		}
	}
	return n
}

// Report writes the counts of each target, its odd answers and the verdicts.
func Report(w io.Writer, tallies []Tally, verdicts []Verdict) error {
	var b strings.Builder
	row := func(columns ...any) { fmt.Fprintf(&b, "%-8v %9v %9v %9v %9v %9v %10v %10v\n", columns...) }
	row("target", "offered", "req/s", "2xx", "429", "others", "p50 ms", "p99 ms")
	for i := range tallies {
		t := &tallies[i]
		seconds := max(t.metrics.End.Sub(t.metrics.Earliest).Seconds(), 1e-3)
		row(t.Target.Name, t.Offered(), fmt.Sprintf("%.0f", float64(t.Offered())/seconds), t.Admitted, t.Refused, t.Others, millis(t.percentile(0.5)), millis(t.percentile(0.99)))
	}
	for i := range tallies {
		for _, odd := range tallies[i].Odd {
			fmt.Fprintf(&b, "  %s\n", odd)
		}
	}
	for _, v := range verdicts {
		mark := map[bool]string{true: "holds ", false: "MISSED"}[v.Holds]
		fmt.Fprintf(&b, "%s %s: %s: %s, wanted %s\n", mark, v.Target, v.What, v.Got, v.Wanted)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond))
}
