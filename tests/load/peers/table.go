package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// What the gateway promises, in CPU per request.
const mostOfNginx = 1.5 // times nginx's bare proxy_pass, everything on

// elsewhere are ratios to nginx's bare proxy_pass for proxies that are not
// installed, measured on another machine of two shared cores.
var elsewhere = map[string]string{ //nolint:gochecknoglobals // a constant table
	"traefik, bare": "3.8 (Traefik 3.7, measured elsewhere)",
	"caddy, bare":   "5.3 (Caddy 2.6, measured elsewhere)",
}

// results are all measurements, proxy by proxy in the order of their first.
type results struct {
	options options
	absent  []string
	names   []string
	rounds  map[string][]measurement
}

func (r *results) add(name string, m measurement) {
	if r.rounds == nil {
		r.rounds = map[string][]measurement{}
	}
	if !slices.Contains(r.names, name) {
		r.names = append(r.names, name)
	}
	r.rounds[name] = append(r.rounds[name], m)
}

// spread is the median of a figure and its range over the rounds.
type spread struct{ median, low, high float64 }

func (r *results) spread(name string, figure func(round int, m measurement) float64) spread {
	var all []float64
	for i, m := range r.rounds[name] {
		all = append(all, figure(i, m))
	}
	slices.Sort(all)
	return spread{all[len(all)/2], all[0], all[len(all)-1]}
}

func (s spread) format(layout string) string {
	return fmt.Sprintf(layout+" ("+layout+"–"+layout+")", s.median, s.low, s.high)
}

// ratio compares with nginx in the same round: what the machine did meanwhile
// happened to both.
func (r *results) ratio(name string) spread {
	return r.spread(name, func(i int, m measurement) float64 { return m.cpu / r.rounds[nameNginx][i].cpu })
}

// missed names what the gateway did not hold.
func (r *results) missed() (out []string) {
	if got := r.ratio(nameFull).median; got > mostOfNginx {
		out = append(out, fmt.Sprintf("%s: %.2f × nginx, promised ≤ %.2f", nameFull, got, mostOfNginx))
	}
	return out
}

// String is the table in Markdown.
func (r *results) String(at time.Time) string {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	add("Commit %s, %s, `make bench-proxy`: %d rounds of %d s, %d connections, answers of 1 KiB.",
		output("git", "rev-parse", "--short", "HEAD"), at.UTC().Format("2006-01-02 15:04 UTC"), r.options.rounds, r.options.seconds, r.options.connections)
	add("Machine: %d cores (%s), one of them for the proxy; %s. Median and range over the rounds.\n", runtime.NumCPU(), cpuModel(), runtime.Version())
	add("| | requests/s | p50 | p99 | CPU per request | to nginx | memory |")
	add("|---|---|---|---|---|---|---|")
	millis := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	for _, name := range r.names {
		of := func(figure func(measurement) float64) spread {
			return r.spread(name, func(_ int, m measurement) float64 { return figure(m) })
		}
		add("| %s | %s | %s ms | %s ms | %s µs | %s | %s MiB |", name,
			of(func(m measurement) float64 { return m.perSecond }).format("%.0f"),
			of(func(m measurement) float64 { return millis(m.p50) }).format("%.1f"),
			of(func(m measurement) float64 { return millis(m.p99) }).format("%.1f"),
			of(func(m measurement) float64 { return m.cpu }).format("%.1f"),
			r.ratio(name).format("%.2f"),
			of(func(m measurement) float64 { return m.rss }).format("%.0f"))
	}
	for _, name := range r.absent {
		ratio := elsewhere[name]
		if ratio == "" {
			ratio = "–"
		}
		add("| %s: not installed here | | | | | %s | |", name, ratio)
	}
	return b.String()
}

func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	_, rest, _ := strings.Cut(string(text), "model name\t: ")
	model, _, _ := strings.Cut(rest, "\n")
	return model
}
