package breaker

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// world simulates whole clusters: its clock jumps from event to event, so that
// an hour takes a moment, and everything follows from the seed.
type world struct {
	now   time.Time
	rand  *rand.Rand
	queue events
	seq   int

	alone bool    // nobody hears of anybody: the baseline
	loss  float64 // of messages
	nodes []*simNode
	born  int

	backends []*simBackend
}

type event struct {
	at  time.Time
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// simNode is a place in the cluster. A restart gives it a new name and group.
type simNode struct {
	w        *world
	place    int
	name     string
	down     bool
	cut      bool // its requests reach no backend
	group    *Group
	breakers []*Breaker // by backend
	shut     []time.Time
	openTime []time.Duration // of each backend
	refused  int
	asked    int
}

// simBackend answers after latency; what fails, fails as late.
type simBackend struct {
	name     string
	dead     bool
	errors   float64
	latency  time.Duration
	hits     int
	failures int
	inFlight int
	probes   []time.Time // trials that arrived
}

func simConfig() Config { return DefaultConfig() }

func newWorld(seed uint64, nodes, backends int) *world {
	w := &world{now: time.Unix(1_000_000, 0), rand: newRand(seed)}
	for i := range backends {
		w.backends = append(w.backends, &simBackend{name: fmt.Sprintf("service%d:80/10.0.0.%d:80", i, i), latency: 5 * time.Millisecond})
	}
	for i := range nodes {
		n := &simNode{w: w, place: i, openTime: make([]time.Duration, backends), shut: make([]time.Time, backends)}
		w.nodes = append(w.nodes, n)
		n.start()
	}
	w.every(time.Second, func() {
		for _, n := range w.nodes {
			if !n.down {
				n.group.Tick()
			}
		}
	})
	w.every(15*time.Second, w.exchange)
	return w
}

func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.queue, event{w.now.Add(d), w.seq, do})
}

func (w *world) every(d time.Duration, do func()) {
	w.after(d, func() {
		do()
		w.every(d, do)
	})
}

func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); len(w.queue) > 0 && !w.queue[0].at.After(end); {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.do()
	}
}

// runUntil stops at the first event after which done holds.
func (w *world) runUntil(limit time.Duration, done func() bool) bool {
	for end := w.now.Add(limit); len(w.queue) > 0 && !w.queue[0].at.After(end); {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		if e.do(); done() {
			return true
		}
	}
	return false
}

// start gives the node a name, a group and breakers, and lets it hear of the
// others as a join does.
func (n *simNode) start() {
	w := n.w
	w.born++
	n.name, n.down = fmt.Sprintf("node%d-%d", n.place, w.born), false
	members := w.members
	if w.alone {
		name := n.name
		members = func() []string { return []string{name} }
	}
	n.group = NewGroup(Options{Self: n.name, Now: func() time.Time { return w.now }, Members: members})
	from := n.group
	n.group.Announce(func(msg []byte) { w.send(n, from, msg) })
	n.breakers = make([]*Breaker, len(w.backends))
	for i := range w.backends {
		n.use(i)
	}
	if !w.alone && len(w.nodes) > 1 {
		w.pull(n, w.nodes[(n.place+1)%len(w.nodes)])
	}
}

// use makes the breaker of a backend, as when its address is found.
func (n *simNode) use(i int) {
	upstream, _, _ := strings.Cut(n.w.backends[i].name, "/")
	n.breakers[i] = n.group.Add(Backend{Name: n.w.backends[i].name, Upstream: upstream, Config: simConfig(), Notify: func(c Change) {
		switch {
		case c.From < HalfOpen && c.To >= HalfOpen:
			n.shut[i] = n.w.now
		case c.From >= HalfOpen && c.To < HalfOpen:
			n.openTime[i] += n.w.now.Sub(n.shut[i])
		}
	}})
}

func (w *world) members() []string {
	var out []string
	for _, n := range w.nodes {
		if !n.down {
			out = append(out, n.name)
		}
	}
	return out
}

// send delivers a copy to everyone at once, and two later as gossip repeats
// messages; each may get lost.
func (w *world) send(n *simNode, from *Group, msg []byte) {
	if w.alone {
		return
	}
	for _, repeat := range []time.Duration{0, 200 * time.Millisecond, 400 * time.Millisecond} {
		for _, to := range w.nodes {
			if to == n || w.rand.Float64() < w.loss {
				continue
			}
			w.after(repeat+w.delay(), func() {
				if !to.down && to.group != from {
					_ = to.group.Merge(msg)
				}
			})
		}
	}
}

func (w *world) delay() time.Duration { return time.Duration(200+w.rand.IntN(1800)) * time.Microsecond }

// exchange lets every node exchange full states with a random other.
func (w *world) exchange() {
	for _, n := range w.nodes {
		if other := w.nodes[w.rand.IntN(len(w.nodes))]; !w.alone && other != n {
			w.pull(n, other)
			w.pull(other, n)
		}
	}
}

func (w *world) pull(to, from *simNode) {
	if to.down || from.down || from.group == nil {
		return
	}
	state, _ := from.group.MarshalBinary()
	_ = to.group.Merge(state)
}

// request sends one request of a node to a backend; then, if not nil, is told
// when it is over.
func (n *simNode) request(i int, then func()) {
	w, b, breaker := n.w, n.w.backends[i], n.breakers[i]
	n.asked++
	ticket, ok := breaker.Admit()
	if !ok {
		n.refused++
		if then != nil {
			w.after(time.Millisecond, then)
		}
		return
	}
	if ticket.trial {
		b.probes = append(b.probes, w.now)
	}
	b.hits++
	b.inFlight++
	w.after(b.latency, func() {
		b.inFlight--
		result := Success
		if b.dead || n.cut || w.rand.Float64() < b.errors {
			result = Failure
			b.failures++
		}
		breaker.Done(ticket, result)
		if then != nil {
			then()
		}
	})
}

// load sends requests at random moments for as long as the world runs.
func (n *simNode) load(i int, perSecond float64) {
	var next func()
	next = func() {
		if !n.down {
			n.request(i, nil)
		}
		n.w.after(time.Duration(n.w.rand.ExpFloat64()/perSecond*float64(time.Second)), next)
	}
	n.w.after(time.Duration(n.w.rand.ExpFloat64()/perSecond*float64(time.Second)), next)
}

// roundRobin is one client that asks one node after another, one request at a time.
func (w *world) roundRobin(i int) {
	turn := 0
	var next func()
	next = func() {
		n := w.nodes[turn%len(w.nodes)]
		turn++
		n.request(i, next)
	}
	w.after(0, next)
}

func (w *world) open(i int) int {
	count := 0
	for _, n := range w.nodes {
		if n.breakers[i].state >= HalfOpen {
			count++
		}
	}
	return count
}

// shutFor is how much of the time d the node had the backend open.
func (n *simNode) shutFor(i int, d time.Duration) float64 {
	total := n.openTime[i]
	if n.breakers[i].state >= HalfOpen {
		total += n.w.now.Sub(n.shut[i])
	}
	return float64(total) / float64(d)
}
