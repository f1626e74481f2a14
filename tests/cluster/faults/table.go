package faults

import (
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// table is RESULTS.md.
type table struct {
	began time.Time
	took  time.Duration
	rows  []row
}

// row is one fault's line, and what it missed.
type row struct {
	run    run
	misses []string
}

func (r row) verdict() string {
	if len(r.misses) > 0 {
		return "MISSED"
	}
	return "holds"
}

func (t *table) missed() int {
	n := 0
	for _, r := range t.rows {
		n += min(len(r.misses), 1)
	}
	return n
}

// write renders the table in Markdown.
func (t *table) write(w io.Writer) error {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	add("# Faults\n")
	add("Commit %s, %s, `make faults`, %s. Machine: %d cores, shared by all of it; %s, %s, %s.\n", output("git", "rev-parse", "--short=12", "HEAD"),
		t.began.UTC().Format("2006-01-02 15:04 MST"), t.took.Round(time.Second), runtime.NumCPU(), runtime.Version(), redisVersion(), output("nginx", "-v"))
	add("Three gateways behind a real nginx, a real Redis, two upstreams. Each second 200 GET and 100 POST that must not be sent twice, from four " +
		"users, to both upstreams, and 300 GET on a limit of 100/s (burst 100) for the whole cluster; with \"a request each millisecond\" 500, 200 and 300. " +
		"The load goes on whatever the answers do. Promised and not shown: nothing lost, no POST twice, good health again within 30 s (all members, limits by Redis, breakers closed).\n")
	add("%d lines hold, %d missed.\n", len(t.rows)-t.missed(), t.missed())
	add("| fault | requests | may fail | failed | lost | POSTs twice | admitted / (B + R·T) | longest answer | good again after | verdict |")
	add("|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range t.rows {
		o, p := r.run.observed, r.run.fault.bound
		add("| %s | %d | %s | %d | %d | %d | %.3f (≤ %.2f) | %s (≤ %s) | %s | %s |", r.run.fault.name, o.requests, p.excuse.words, len(o.failed), o.lost,
			o.duplicated, o.over, p.over, o.stall.Round(time.Millisecond), p.stall, r.run.recovered.Round(10*time.Millisecond), r.verdict())
	}
	for _, r := range t.rows {
		for _, miss := range r.misses {
			add("\n%s: %s", r.run.fault.name, miss)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r row) String() string {
	o := r.run.observed
	return fmt.Sprintf("%-7s %s: %d requests, %d failed, %d lost, %d twice, %.3f admitted, longest %s, good again after %s", r.verdict(), r.run.fault.name,
		o.requests, len(o.failed), o.lost, o.duplicated, o.over, o.stall.Round(time.Millisecond), r.run.recovered.Round(time.Millisecond))
}

// output is what a command prints, on one line.
func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "unknown"
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "nginx version: ")
}

// redisVersion is the third word of what redis-server says of itself.
func redisVersion() string {
	words := strings.Fields(output("redis-server", "--version"))
	if len(words) < 3 {
		return "Redis unknown"
	}
	return "Redis " + strings.TrimPrefix(words[2], "v=")
}
