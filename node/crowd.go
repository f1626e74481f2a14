package node

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// crowd counts requests under way. It outlives every configuration; limits come
// with each call.
type crowd struct{ inside atomic.Int64 }

// enter counts one more, unless there are limit already; 0 is no limit. Who
// entered must leave.
func (c *crowd) enter(limit int) bool {
	if n := c.inside.Add(1); limit > 0 && n > int64(limit) {
		c.inside.Add(-1)
		return false
	}
	return true
}

func (c *crowd) leave() { c.inside.Add(-1) }

// crowds are those of the node and of its routes, by the ids of their limits.
type crowds struct {
	node    crowd
	refused *prometheus.CounterVec

	mu     sync.Mutex
	routes map[string]*crowd
}

func newCrowds(reg prometheus.Registerer) *crowds {
	c := &crowds{routes: map[string]*crowd{}, refused: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gateway_overloaded_total",
		Help: "Requests refused because as many were under way as max_in_flight of the node or the route allows.",
	}, []string{"scope"})}
	for _, scope := range []string{"node", "route"} {
		c.refused.WithLabelValues(scope) // a rate needs something to rise from
	}
	reg.MustRegister(c.refused)
	return c
}

func (c *crowds) route(id string) *crowd {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.routes[id] == nil {
		c.routes[id] = &crowd{}
	}
	return c.routes[id]
}

// retain forgets the routes that are gone. Requests under way on them still
// leave.
func (c *crowds) retain(routes []*route) {
	keep := map[*crowd]bool{}
	for _, r := range routes {
		keep[r.crowd] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, crowd := range c.routes {
		if !keep[crowd] {
			delete(c.routes, id)
		}
	}
}

// takeSeat lets the request in if node and route can bear one more; it leaves
// when its exchange is released.
func (n *Node) takeSeat(x *exchange) error {
	if !n.crowds.node.enter(x.snapshot.config.Server.MaxInFlight) {
		n.crowds.refused.WithLabelValues("node").Inc()
		return errCrowded
	}
	x.seats[0] = &n.crowds.node
	if !x.route.crowd.enter(x.route.maxInFlight) {
		n.crowds.refused.WithLabelValues("route").Inc()
		return errCrowded
	}
	x.seats[1] = x.route.crowd
	return nil
}

func (x *exchange) leaveSeats() {
	for _, c := range x.seats {
		if c != nil {
			c.leave()
		}
	}
}
