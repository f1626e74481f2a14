package breaker

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

const backend = "users:80/10.0.0.1:80"

// lab is a cluster whose time stands still between steps and whose messages
// arrive at once, unless a test cuts somebody off.
type lab struct {
	t     testing.TB
	now   time.Time
	nodes []*labNode
	queue []func()
}

type labNode struct {
	*Breaker

	lab     *lab
	name    string
	group   *Group
	gone    bool
	deaf    bool // neither sends nor hears
	sent    int  // messages
	left    []Ticket
	changes []string
	also    map[string]*Breaker
}

func labConfig() Config { return Config{Failures: 3, WindowMS: 1000, OpenMS: 1000} }

func newLab(t testing.TB, names ...string) *lab {
	l := &lab{t: t, now: time.Unix(1_000_000, 0)}
	for _, name := range names {
		l.join(name)
	}
	return l
}

// join starts a node, which knows nothing yet.
func (l *lab) join(name string) *labNode {
	n := &labNode{lab: l, name: name, also: map[string]*Breaker{}}
	n.group = NewGroup(Options{Self: name, Now: func() time.Time { return l.now }, Members: l.members})
	n.group.Announce(func(msg []byte) {
		n.sent++
		l.queue = append(l.queue, func() { l.deliver(n, msg) })
	})
	l.nodes = append(l.nodes, n)
	n.Breaker = n.add(backend)
	return n
}

func (n *labNode) add(name string) *Breaker {
	upstream, _, _ := strings.Cut(name, "/")
	b := n.group.Add(Backend{Name: name, Upstream: upstream, Config: labConfig(), Notify: func(c Change) {
		n.changes = append(n.changes, c.To.String()+"/"+string(c.Cause))
	}})
	n.also[name] = b
	return b
}

func (l *lab) members() []string {
	var out []string
	for _, n := range l.nodes {
		if !n.gone {
			out = append(out, n.name)
		}
	}
	return out
}

func (l *lab) deliver(from *labNode, msg []byte) {
	for _, to := range l.nodes {
		if to != from && !to.gone && !to.deaf && !from.deaf {
			if err := to.group.Merge(msg); err != nil {
				l.t.Fatal(err)
			}
		}
	}
}

func (l *lab) settle() {
	for len(l.queue) > 0 {
		next := l.queue[0]
		l.queue = l.queue[1:]
		next()
	}
}

// exchange lets two nodes exchange their full states.
func (l *lab) exchange(a, b *labNode) {
	l.t.Helper()
	for _, pair := range [][2]*labNode{{a, b}, {b, a}} {
		state, err := pair[0].group.MarshalBinary()
		if err != nil {
			l.t.Fatal(err)
		}
		if err := pair[1].group.Merge(state); err != nil {
			l.t.Fatal(err)
		}
	}
	l.settle()
}

// pass lets time go by with its ticks.
func (l *lab) pass(d time.Duration) {
	for end := l.now.Add(d); l.now.Before(end); {
		l.now = earlier(end, l.now.Add(time.Second))
		for _, n := range l.nodes {
			if !n.gone {
				n.group.Tick()
			}
		}
		l.settle()
	}
}

// play plays letters on one node: s, f, n admit a request and end it with
// success, failure or nothing; a admits one and leaves it; S, F, N end the
// oldest left one; x expects a refusal; w lets a second pass and . a tenth.
func (n *labNode) play(script string) {
	n.lab.t.Helper()
	results := map[rune]Result{'s': Success, 'f': Failure, 'n': Neutral, 'S': Success, 'F': Failure, 'N': Neutral}
	for i, op := range script {
		switch op {
		case 'w':
			n.lab.pass(time.Second)
		case '.':
			n.lab.pass(time.Second / 10)
		case 'S', 'F', 'N':
			n.Done(n.left[0], results[op])
			n.left = n.left[1:]
		default:
			ticket, ok := n.Admit()
			if ok == (op == 'x') {
				n.lab.t.Fatalf("%s: %s[%d]: admitted %v in state %v after %v", n.name, script, i, ok, n.state, n.changes)
			}
			if op == 'a' {
				n.left = append(n.left, ticket)
			} else if ok {
				n.Done(ticket, results[op])
			}
		}
		n.lab.settle()
	}
}

// want compares the states of all nodes.
func (l *lab) want(states string) {
	l.t.Helper()
	var got []string
	for _, n := range l.nodes {
		got = append(got, n.state.String())
	}
	if strings.Join(got, " ") != states {
		l.t.Fatalf("states are %s, want %s", strings.Join(got, " "), states)
	}
}

// heard returns what n holds of another node's word.
func (n *labNode) heard(observer string) claim {
	if r := n.subject.rows[observer]; r != nil && !r.dead(n.lab.now) {
		return r.claim
	}
	return nothing
}

// ready lists the nodes that would admit a request now. It sends none.
func (l *lab) ready() string {
	var out []string
	for _, n := range l.nodes {
		if !n.gone && !l.now.Before(n.turnLocked(l.now)) {
			out = append(out, n.name)
		}
	}
	return strings.Join(out, " ")
}

// order returns the nodes by their rank for the next attempt.
func (l *lab) order() []*labNode {
	out := slices.Clone(l.nodes)
	attempt := out[0].dueLocked(l.now).attempt
	slices.SortFunc(out, func(a, b *labNode) int {
		return rank(a.name, backend, attempt, l.members()) - rank(b.name, backend, attempt, l.members())
	})
	return out
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }
