package node

import (
	"cmp"
	"hash/fnv"
	"slices"

	"github.com/go-api-gateway-pro/gateway/limiter"
)

// How many of its busiest routes and limits a node tells the others each second.
const (
	toldRoutes = 6
	toldLimits = 8
)

// measure is what a node counted in a second, by its own configuration.
type measure struct {
	reading

	snapshot  *snapshot
	routes    []routeRate       // of the routes of snapshot
	limits    []limitLevel      // of snapshot.limits
	decisions map[string]uint64 // checks by what decided them
}

type routeRate struct{ requests, failed uint64 }

type limitLevel struct {
	used   float64 // part of the emptiest bucket that is taken
	denied uint64
}

// meter turns counters that only grow into what was counted since the last look.
// It belongs to one goroutine.
type meter struct{ before, now map[string]uint64 }

// since returns how far a counter has grown. One that is new or began again began
// at zero.
func (m *meter) since(name string, value uint64) uint64 {
	m.now[name] = value
	if before := m.before[name]; before <= value {
		return value - before
	}
	return value
}

// turn begins the next second; counters that were not asked about in this one
// are forgotten.
func (m *meter) turn() { m.before, m.now = m.now, make(map[string]uint64, len(m.now)) }

// measure reads everything that the page shows of this node.
func (n *Node) measure(m *meter) *measure {
	m.turn()
	out := &measure{reading: n.vitals.take(), snapshot: n.snapshot.Load(), decisions: map[string]uint64{}}
	for _, r := range out.snapshot.routes {
		requests, failed := r.metrics.Counts()
		out.routes = append(out.routes, routeRate{
			m.since("requests "+r.label, requests), m.since("failed "+r.label, failed),
		})
	}
	out.limits = out.snapshot.levels(n.limiter.Usage(), m)
	for source, count := range n.limiter.Decisions() {
		if grown := m.since("decided "+source, count); grown > 0 {
			out.decisions[source] = grown
		}
	}
	return out
}

// levels returns how full each limit is; requests that count by ip for want of a
// user are the same limit's.
func (s *snapshot) levels(usage map[string]limiter.Usage, m *meter) []limitLevel {
	out := make([]limitLevel, len(s.limits))
	for i, l := range s.limits {
		own, byIP := usage[l.limit.ID], usage[l.byIP.ID]
		out[i] = limitLevel{
			used:   max(own.Used, byIP.Used),
			denied: m.since("denied "+l.limit.ID, own.Denied) + m.since("denied "+l.byIP.ID, byIP.Denied),
		}
	}
	return out
}

// markOf names a route or limit in a row, where members of other configurations
// know it too. Of some hundred names two rarely share a mark; they then show the
// sum of both.
func markOf(name string) uint64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return uint64(h.Sum32() >> 8)
}

// tellRoutes lists the busiest routes for the row: mark, requests, failed.
func (m *measure) tellRoutes() [][3]uint64 {
	var out [][3]uint64
	for i, r := range m.routes {
		if r.requests > 0 {
			out = append(out, [3]uint64{markOf(m.snapshot.routes[i].label), r.requests, r.failed})
		}
	}
	return busiest(out, toldRoutes, func(r [3]uint64) uint64 { return r[1] })
}

// tellLimits lists the emptiest limits for the row: mark, promille taken, denied.
func (m *measure) tellLimits() [][3]uint64 {
	var out [][3]uint64
	for i, l := range m.limits {
		if promille := uint64(l.used * 1000); promille > 0 || l.denied > 0 {
			out = append(out, [3]uint64{markOf(m.snapshot.limits[i].limit.ID), promille, l.denied})
		}
	}
	return busiest(out, toldLimits, func(l [3]uint64) uint64 { return 1000*min(l[2], 1e6) + l[1] })
}

// busiest returns at most n rows, the highest first.
func busiest(rows [][3]uint64, n int, by func([3]uint64) uint64) [][3]uint64 {
	slices.SortStableFunc(rows, func(a, b [3]uint64) int { return cmp.Compare(by(b), by(a)) })
	return rows[:min(len(rows), n)]
}
