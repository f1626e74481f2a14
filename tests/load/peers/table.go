package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/load/stage"
)

// promises are how much of another's CPU per request the gateway, everything on, is to
// take at most.
var promises = []struct { //nolint:gochecknoglobals // a constant table
	of   string
	most float64
}{{nameNginx, 1.5}, {nameNaive, 0.25}, {nameLimited, 0.4}}

// elsewhere are ratios to nginx's bare proxy_pass for proxies that are not
// installed, measured on another machine of two shared cores.
var elsewhere = map[string]string{ //nolint:gochecknoglobals // a constant table
	"traefik, bare": "3.8 (Traefik 3.7, measured elsewhere)",
	nameLimited:     "4.3 (Traefik 3.7, measured elsewhere)",
	"caddy, bare":   "5.3 (Caddy 2.6, measured elsewhere)",
}

// results are all measurements, proxy by proxy in the order of their first.
type results struct {
	options options
	absent  []string
	names   []string
	rounds  map[string][]stage.Measurement
}

func (r *results) add(name string, m stage.Measurement) {
	if r.rounds == nil {
		r.rounds = map[string][]stage.Measurement{}
	}
	if !slices.Contains(r.names, name) {
		r.names = append(r.names, name)
	}
	r.rounds[name] = append(r.rounds[name], m)
}

func (r *results) spread(name string, figure func(round int, m stage.Measurement) float64) stage.Spread {
	var all []float64
	for i, m := range r.rounds[name] {
		all = append(all, figure(i, m))
	}
	return stage.SpreadOf(all)
}

// ratio compares with another in the same round: what the machine did meanwhile
// happened to both.
func (r *results) ratio(name, to string) stage.Spread {
	return r.spread(name, func(i int, m stage.Measurement) float64 { return m.CPU / r.rounds[to][i].CPU })
}

// judged says how the gateway's ratios compare with what is promised; what it does not
// hold comes again in missed.
func (r *results) judged() (lines, missed []string) {
	for _, p := range promises {
		if len(r.rounds[p.of]) == 0 {
			continue
		}
		got := r.ratio(nameFull, p.of)
		line := fmt.Sprintf("%s × %s, promised ≤ %.2f", got.Format("%.2f"), p.of, p.most)
		lines = append(lines, line)
		if got.Median > p.most {
			missed = append(missed, line)
		}
	}
	return lines, missed
}

// String is the table in Markdown.
func (r *results) String(at time.Time) string {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	add("Commit %s, %s, `make bench-proxy`: %d rounds of %d s, %d connections, answers of 1 KiB.",
		stage.Commit(), at.UTC().Format("2006-01-02 15:04 UTC"), r.options.rounds, r.options.seconds, r.options.connections)
	add("Machine: %d cores (%s), one of them for the proxy; %s. Median and range over the rounds.\n", runtime.NumCPU(), stage.CPUModel(), runtime.Version())
	add("| | requests/s | p50 | p99 | CPU per request | of it in the kernel | to nginx | memory |")
	add("|---|---|---|---|---|---|---|---|")
	millis := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	for _, name := range r.names {
		of := func(figure func(stage.Measurement) float64) stage.Spread {
			return r.spread(name, func(_ int, m stage.Measurement) float64 { return figure(m) })
		}
		add("| %s | %s | %s ms | %s ms | %s µs | %s µs | %s | %s MiB |", name,
			of(func(m stage.Measurement) float64 { return m.PerSecond }).Format("%.0f"),
			of(func(m stage.Measurement) float64 { return millis(m.P50) }).Format("%.1f"),
			of(func(m stage.Measurement) float64 { return millis(m.P99) }).Format("%.1f"),
			of(func(m stage.Measurement) float64 { return m.CPU }).Format("%.1f"),
			of(func(m stage.Measurement) float64 { return m.Kernel }).Format("%.1f"),
			r.ratio(name, nameNginx).Format("%.2f"),
			of(func(m stage.Measurement) float64 { return m.RSS }).Format("%.0f"))
	}
	for _, name := range r.absent {
		ratio := elsewhere[name]
		if ratio == "" {
			ratio = "–"
		}
		add("| %s: not installed here | | | | | | %s | |", name, ratio)
	}
	lines, _ := r.judged()
	add("\nThe gateway with everything on takes\n\n- %s", strings.Join(lines, "\n- "))
	return b.String()
}
