package proxy

import (
	"context"
	"slices"
	"sync"
	"time"
)

// member is one upstream of a route.
type member struct {
	target  *target
	address address
	weight  int
}

// slot is an endpoint as one route sees it.
type slot struct {
	*endpoint
	member *member
	weight int
	credit int // of weighted round robin; the view's lock guards it
}

// view is all endpoints of a route at one moment. Only the credits change.
type view struct {
	lists []*[]*endpoint // of the members, as they were
	slots []*slot
	even  bool // all weights are equal

	mu sync.Mutex
}

// view returns the endpoints of all members, none while no name is known.
func (u *Upstream) view() *view {
	v := u.seen.Load()
	if v == nil || !v.isCurrent(u.members) {
		v = newView(u.members)
		u.seen.Store(v)
	}
	return v
}

func newView(members []member) *view {
	v := &view{even: true}
	for i := range members {
		m := &members[i]
		list := m.target.list.Load()
		v.lists = append(v.lists, list)
		v.even = v.even && m.weight == members[0].weight
		for _, e := range *list {
			v.slots = append(v.slots, &slot{endpoint: e, member: m, weight: m.weight})
		}
	}
	return v
}

func (v *view) isCurrent(members []member) bool {
	for i := range members {
		if v.lists[i] != members[i].target.list.Load() {
			return false
		}
	}
	return true
}

// endpoints returns a view with at least one endpoint. If no address is known
// yet it waits for the names' first lookups, until the deadline or the end of ctx.
func (u *Upstream) endpoints(ctx context.Context, deadline time.Time) (*view, error) {
	if v := u.view(); len(v.slots) > 0 {
		return v, nil
	}
	var err error
	for i := range u.members {
		if err = u.members[i].target.await(ctx, deadline); err == nil {
			break
		}
	}
	if v := u.view(); len(v.slots) > 0 {
		return v, nil
	}
	return nil, err
}

// How much an endpoint is wanted for the next try, best first.
const (
	fresh = iota // not tried yet, with room
	full         // not tried yet, one must wait
	again        // tried before
	unfit        // said to be unhealthy, while others are not
)

// pick returns the endpoint for the next try, whose breaker admits it: one not
// tried yet if there is one, and of those one that need not be waited for. Only
// if the health checks find none healthy are the others tried, since then the
// checks are more likely to be wrong than everybody down.
func (f *forwarding) pick(v *view) (*slot, ticket, bool) {
	var stack [16]*slot
	d := draw{key: f.key, rand: f.backends.options.Rand}
	if f.config.Balance == balanceRoundRobin && v.even {
		d.turn = f.turn.Add(1) - 1
	}
	panicking := !slices.ContainsFunc(v.slots, func(s *slot) bool { return !s.sick.Load() })
	if panicking {
		v.slots[0].target.metrics.panics.Inc()
	}
	for want := fresh; want < unfit; want++ {
		candidates := stack[:0]
		for _, s := range v.slots {
			if f.rank(s, panicking) == want {
				candidates = append(candidates, s)
			}
		}
		for len(candidates) > 0 {
			i := f.choose(v, candidates, d)
			if ticket, ok := candidates[i].breaker.Admit(); ok {
				return candidates[i], ticket, true
			}
			candidates = slices.Delete(candidates, i, i+1)
		}
	}
	return nil, ticket{}, false
}

func (f *forwarding) rank(s *slot, panicking bool) int {
	switch {
	case !panicking && s.sick.Load():
		return unfit
	case f.wasTried(s.endpoint):
		return again
	case s.gate.full():
		return full
	}
	return fresh
}
