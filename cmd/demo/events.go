package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-api-gateway-pro/gateway/node"
)

// mood is how an event is coloured.
type mood int

const (
	good mood = iota
	warn
	bad
)

// event is one line: what happened, and to whom.
type event struct {
	mood       mood
	what, text string
}

// events are the differences between two sights, in the order in which they
// matter.
func events(was, is sight) []event {
	var out []event
	out = append(out, memberEvents(was, is)...)
	out = append(out, redisEvents(was, is)...)
	out = append(out, breakerEvents(was, is)...)
	return append(out, configEvents(was, is)...)
}

func memberEvents(was, is sight) []event {
	var out []event
	if len(is.nodes) == 0 || len(was.nodes) == 0 {
		return nil // nobody is left to say who is a member
	}
	for _, n := range is.members {
		if !slices.Contains(was.members, n) {
			out = append(out, event{good, "member joined", fmt.Sprintf("node %d, now %d members", n, len(is.members))})
		}
	}
	for _, n := range was.members {
		if !slices.Contains(is.members, n) {
			out = append(out, event{bad, "member left", fmt.Sprintf("node %d, now %d members", n, len(is.members))})
		}
	}
	return out
}

func redisEvents(was, is sight) []event {
	var lost, back []int
	for _, n := range slices.Sorted(maps.Keys(is.nodes)) {
		before, known := was.nodes[n]
		switch now := is.nodes[n].mode; {
		case now == "local" && (!known || before.mode != "local"):
			lost = append(lost, n)
		case now == "redis" && known && before.mode == "local":
			back = append(back, n)
		}
	}
	var out []event
	if len(lost) > 0 {
		out = append(out, event{bad, "redis lost", named(lost) + ": each enforces its share of every limit"})
	}
	if len(back) > 0 {
		out = append(out, event{good, "redis back", named(back) + ": limits are the cluster's again"})
	}
	return out
}

func breakerEvents(was, is sight) []event {
	var out []event
	for _, backend := range slices.Sorted(maps.Keys(is.breakers)) {
		before, now := worst(was.breakers[backend]), worst(is.breakers[backend])
		if before == now {
			continue
		}
		switch now {
		case "open":
			holding := slices.DeleteFunc(slices.Clone(is.breakers[backend]), func(b breakerState) bool { return b.state == "closed" })
			out = append(out, event{bad, "breaker open", fmt.Sprintf("%s, on %d of %d nodes: 503 at once", backend, len(holding), len(is.nodes))})
		case "half_open":
			out = append(out, event{warn, "breaker half open", backend + ", requests try it"})
		default:
			out = append(out, event{good, "breaker closed", backend + ", requests pass again"})
		}
	}
	return out
}

// worst is the state furthest from closed on any node; suspicion changes nothing
// for requests.
func worst(all []breakerState) string {
	rank := []string{"closed", "half_open", "open"}
	at := 0
	for _, b := range all {
		at = max(at, slices.Index(rank, b.state))
	}
	return rank[at]
}

func configEvents(was, is sight) []event {
	var refused []int
	taken := map[string][]int{} // by hash
	for _, n := range slices.Sorted(maps.Keys(is.nodes)) {
		before, known := was.nodes[n]
		now := is.nodes[n]
		switch {
		case now.refused && !before.refused:
			refused = append(refused, n)
		case known && !now.refused && (before.hash != now.hash || before.refused):
			taken[now.hash] = append(taken[now.hash], n)
		}
	}
	var out []event
	if len(refused) > 0 {
		out = append(out, event{bad, "config refused", named(refused) + ": the old one goes on"})
	}
	for _, hash := range slices.Sorted(maps.Keys(taken)) {
		out = append(out, event{good, "config in effect", named(taken[hash]) + ": " + short(hash)})
	}
	return append(out, driftEvents(was, is)...)
}

func driftEvents(was, is sight) []event {
	before, now := versions(was), versions(is)
	switch {
	case len(now) > 1 && before != nil && !slices.Equal(before, now):
		return []event{{warn, "config drift", strings.Join(now, ", ")}}
	case len(now) == 1 && len(before) > 1:
		return []event{{good, "drift over", now[0]}}
	}
	return nil
}

// versions says which nodes run what, one text for each configuration.
func versions(s sight) []string {
	by := map[string][]int{}
	for n, st := range s.nodes {
		by[st.hash] = append(by[st.hash], n)
	}
	var out []string
	for hash, nodes := range by {
		slices.Sort(nodes)
		out = append(out, named(nodes)+": "+short(hash))
	}
	slices.Sort(out)
	return out
}

// named is "node 2" or "nodes 1, 3".
func named(numbers []int) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = fmt.Sprint(n)
	}
	if len(words) == 1 {
		return "node " + words[0]
	}
	return "nodes " + strings.Join(words, ", ")
}

func short(hash string) string { return hash[:min(8, len(hash))] }

// tell prints events, a line each; a refused configuration with its first fault.
func (d *demo) tell(all []event) {
	for _, e := range all {
		what := fmt.Sprintf("%-17s", e.what)
		switch e.mood {
		case good:
			what = d.style.Good(what)
		case warn:
			what = d.style.Warn(what)
		case bad:
			what = d.style.Bad(what)
		}
		d.say("%s  %s", what, e.text)
		if e.what == "config refused" {
			d.tellFaults()
		}
	}
}

// tellFaults shows what -check would show of the first file that has faults.
func (d *demo) tellFaults() {
	for _, m := range d.members {
		if _, err := node.LoadConfig(d.files.of(m.number), d.environment(m)); err != nil {
			d.say("%s", node.Faults(err)[0])
			return
		}
	}
	d.say("why: see %s", d.logName)
}
