package accuracy

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// outcome is what a line says in the end.
type outcome string

const (
	holds   outcome = "holds"
	missed  outcome = "MISSED"
	invalid outcome = "INVALID"   // nothing can be told from this run
	unbuilt outcome = "NOT BUILT" // the gateway refuses the configuration
	beside  outcome = "–"         // shown, not judged
)

// ok reports whether a table with this line may be published as met.
func (o outcome) ok() bool { return o == holds || o == beside }

// line is one line of the table.
type line struct {
	scenario, load, lasts    string
	what, promised, observed string
	outcome                  outcome
	noise                    noise
}

func (l line) String() string {
	return fmt.Sprintf("%-9s %s: %s: %s, promised %s", l.outcome, l.scenario, l.what, l.observed, l.promised)
}

// blank is a line of the scenario that nothing is known of yet.
func blank(s scenario, c check) line {
	return line{scenario: s.name, load: s.String(), lasts: s.lasts.String(), what: c.what, promised: c.promise()}
}

// unplayed are the lines of a scenario that could not be played.
func unplayed(s scenario, why string, o outcome) []line {
	var lines []line
	for _, c := range s.checks {
		l := blank(s, c)
		l.observed, l.outcome = why, o
		lines = append(lines, l)
	}
	return lines
}

// lines judges a run.
func (r *run) lines() []line {
	var lines []line
	for _, c := range r.scenario.checks {
		l := blank(r.scenario, c)
		l.noise = r.noise
		got := c.figure(r)
		l.observed, l.outcome = got.shown, c.judge(got)
		if why := r.doubt(c, got); why != "" && l.outcome != beside {
			l.observed, l.outcome = strings.TrimSpace(got.shown+" ("+why+")"), invalid
		}
		lines = append(lines, l)
	}
	return lines
}

// doubt says why a figure tells nothing, empty if it does.
func (r *run) doubt(c check, got reading) string {
	switch {
	case got.reason != "":
		return got.reason
	case c.firm && c.judge(got) == missed:
		return ""
	case r.invalid() != "":
		return r.invalid()
	case c.judge(got) == missed && r.noise.busy > busyLimit:
		return r.noise.tooBusy()
	default:
		return ""
	}
}

func (c check) judge(got reading) outcome {
	switch {
	case math.IsInf(c.lo, -1) && math.IsInf(c.hi, 1):
		return beside
	case math.IsNaN(got.value):
		return invalid
	case got.value < c.lo || got.value > c.hi:
		return missed
	default:
		return holds
	}
}

// table is all lines and how they came about.
type table struct {
	machine harness.Machine
	command string
	began   time.Time
	took    time.Duration
	lines   []line
}

// count returns how many lines have the outcome.
func (t *table) count(o outcome) int {
	n := 0
	for _, l := range t.lines {
		if l.outcome == o {
			n++
		}
	}
	return n
}

// heaviest is the largest part of the machine that a run of the gateway took.
func (t *table) heaviest() float64 {
	var most float64
	for _, l := range t.lines {
		if l.outcome != beside {
			most = max(most, l.noise.own)
		}
	}
	return most
}

// write renders the table in Markdown.
func (t *table) write(w io.Writer) error {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	add("# Accuracy\n")
	add("Commit %s, %s, `%s`, %s.", t.machine.Commit, t.began.UTC().Format("2006-01-02 15:04 MST"), t.command, t.took.Round(time.Second))
	add("Machine: %s cores, shared by nodes, Redis, upstream and load; %s, Redis %s.\n", t.machine.Cores, t.machine.Go, t.machine.Redis)
	add("Three nodes, one Redis, admissions counted at the upstream. R in tokens a second, B the burst, T the time of the load. " +
		"A line marked – is shown beside, not judged. A miss on a machine more than 70 %% busy is INVALID: run it again on a quiet one.")
	add("Loads are chosen so that nodes, Redis, upstream and generator together keep to 60 %% of two cores; the heaviest run took %.0f %% of the machine here.\n", 100*t.heaviest())
	add("%d lines hold, %d missed, %d invalid, %d not built.\n", t.count(holds), t.count(missed), t.count(invalid), t.count(unbuilt))
	add("| scenario | load | T | figure | promised | observed | verdict | own load / machine busy |")
	add("|---|---|---|---|---|---|---|---|")
	last := ""
	for _, l := range t.lines {
		name, load, lasts := l.scenario, l.load, l.lasts
		if name == last {
			name, load, lasts = "", "", ""
		}
		last = l.scenario
		add("| %s | %s | %s | %s | %s | %s | %s | %.0f / %.0f %% |", name, load, lasts, l.what, l.promised, cell(l.observed), l.outcome, 100*l.noise.own, 100*l.noise.busy)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// cell keeps foreign text from ending a cell.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}
