package faults

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// table is all results and how they came about.
type table struct {
	machine harness.Machine
	began   time.Time
	took    time.Duration
	lines   []result
}

// String renders the table in Markdown.
func (t *table) String() string {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	missed := 0
	for _, r := range t.lines {
		missed += min(1, len(r.missed))
	}
	add("# Faults\n")
	add("Commit %s, %s, `make faults`, %s.", t.machine.Commit, t.began.UTC().Format("2006-01-02 15:04 MST"), t.took.Round(time.Second))
	add("Machine: %s cores, shared by nodes, Redis, nginx, upstreams and load; %s, Redis %s.\n", t.machine.Cores, t.machine.Go, t.machine.Redis)
	add("Three processes of the gateway behind nginx, one Redis, three upstreams; a constant load of %d requests a second unless said otherwise, "+
		"a sixth of them POSTs, a third on two users' limits of R = %d a second and B = %d, at twice the rate. ", usualRate, userRate, userBurst)
	add("Promised in every line, besides what stands there: no request lost (a 2xx that no upstream gave), no POST seen twice by an upstream, " +
		"and all well again within " + backLimit.String() + " of the end of the fault: every node sees all others, uses Redis, has all breakers closed and runs the same configuration. " +
		"Failed is a request without an answer, or with one that is neither a 2xx nor a 429. A miss on a machine that could not send the load in time is INVALID: run it again on a quiet one. Admitted is the busier user's, of what is due in the whole run.\n")
	add("%d lines hold, %d missed.\n", len(t.lines)-missed, missed)
	add("| fault | promised | requests | failed | lost | duplicated | admitted / due | longest stall | well again after | verdict |")
	add("|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range t.lines {
		v := r.found
		add("| %s | %s | %d | %d | %d | %d | %.3f | %s | %.1f s | %s |", r.fault.name, r.fault.promise, v.requests, v.failed, v.lost, v.duplicated,
			v.admitted, v.stall.Round(time.Millisecond), r.back.Seconds(), cell(r.verdict()))
	}
	return b.String()
}

// cell keeps foreign text from ending a cell.
func cell(s string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s) }
