package soak

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/load/attack"
)

// shortest is how long a run must be to judge growth by it.
const shortest = 30 * time.Second

// misses are all that did not hold: what went wrong, thresholds of the load, growth.
func (r *run) misses() []string {
	r.mu.Lock()
	out := append([]string(nil), r.wrong...)
	r.mu.Unlock()
	for _, v := range r.attack.Judge(r.tallies) {
		if !v.Holds {
			out = append(out, fmt.Sprintf("%s: %s: %s, wanted %s", v.Target, v.What, v.Got, v.Wanted))
		}
	}
	if r.lasts < shortest {
		return out
	}
	for i := range r.nodes {
		for n := range figures() {
			if g := r.nodes[i].grown(n); !g.holds() {
				out = append(out, fmt.Sprintf("node %d: %s", i+1, g))
			}
		}
	}
	return out
}

// String is the report in Markdown.
func (r *run) String() string {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	add("# Soak\n")
	add("Commit %s, %s, `make soak DURATION=%s RATE=%g`, %d cores, %s.\n",
		output("git", "describe", "--always", "--dirty", "--abbrev=12"), time.Now().UTC().Format("2006-01-02 15:04 MST"), r.lasts, r.rate, runtime.NumCPU(), runtime.Version())
	add("Three nodes, one Redis and three upstreams under a steady load in which users and addresses are new ones all the time, after\n"+
		"a rush of addresses that fills what remembers clients. Meanwhile:\n"+
		"%d reloads of every node, %d restarts of an upstream, %d requests on a connection of their own, %d event streams, %d WebSockets.\n",
		r.reloads, r.restarts, r.visits, r.events, r.sockets)
	add("```")
	_ = attack.Report(&b, r.tallies, r.attack.Judge(r.tallies)) // a Builder takes everything
	add("```\n")
	r.table(&b)
	if misses := r.misses(); len(misses) > 0 {
		add("\nMissed: %s.", strings.Join(misses, "; "))
	} else {
		add("\nEverything holds.")
	}
	return b.String()
}

// table is what each node held.
func (r *run) table(b *strings.Builder) {
	fmt.Fprintf(b, "A figure grew if the lower quartile of its last fifth of the run is more than %.0f %% above that of the second fifth, and\n"+
		"more than %g MiB of resident memory, %g MiB of heap or %g goroutines or descriptors; or if, without load, more than %g goroutines\n"+
		"or descriptors are left than were there before it. The first fifth is for warming up. %d samples of each node.\n\n",
		100*growthPart, figures()[0].slack, figures()[1].slack, figures()[2].slack, figures()[2].rest, len(r.nodes[0].samples))
	fmt.Fprint(b, "| node | figure | before | second fifth | last fifth | after | slope per hour | verdict |\n|---|---|---|---|---|---|---|---|\n")
	for i := range r.nodes {
		for n := range figures() {
			g := r.nodes[i].grown(n)
			fmt.Fprintf(b, "| %d | %s | %.1f | %.1f | %.1f | %.1f | %+.2f | %s |\n", i+1, g.name, g.before, g.warm, g.end, g.after, g.perHour, r.verdict(g))
		}
	}
}

func (r *run) verdict(g growth) string {
	switch {
	case r.lasts < shortest:
		return "–: the run was too short"
	case g.holds():
		return "holds"
	default:
		return "MISSED"
	}
}

func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
