package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEvents(t *testing.T) {
	all := func() sight {
		return sight{
			members:  []int{1, 2, 3},
			nodes:    map[int]state{1: {"redis", 1, "aaaaaaaaaa", false}, 2: {"redis", 1, "aaaaaaaaaa", false}, 3: {"redis", 1, "aaaaaaaaaa", false}},
			breakers: map[string][]breakerState{"b:1": {{1, "closed"}, {2, "closed"}, {3, "closed"}}},
		}
	}
	f := func(change func(was, is *sight), want ...string) {
		t.Helper()
		was, is := all(), all()
		change(&was, &is)
		var got []string
		for _, e := range events(was, is) {
			got = append(got, e.what+": "+e.text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	set := func(s *sight, n int, change func(*state)) { st := s.nodes[n]; change(&st); s.nodes[n] = st }

	f(func(was, is *sight) {})
	f(func(was, is *sight) { is.members = []int{1, 3}; delete(is.nodes, 2) }, "member left: node 2, now 2 members")
	f(func(was, is *sight) { was.members = []int{1, 3}; delete(was.nodes, 2) }, "member joined: node 2, now 3 members")
	f(func(was, is *sight) { is.members, is.nodes = nil, nil })
	f(func(was, is *sight) { set(is, 3, func(s *state) { s.mode = "local" }) }, "redis lost: node 3: each enforces its share of every limit")
	f(func(was, is *sight) {
		set(was, 1, func(s *state) { s.mode = "local" })
		set(was, 3, func(s *state) { s.mode = "local" })
	}, "redis back: nodes 1, 3: limits are the cluster's again")

	f(func(was, is *sight) {
		is.breakers["b:1"] = []breakerState{{1, "suspect"}, {2, "closed"}, {3, "closed"}}
	})
	f(func(was, is *sight) { is.breakers["b:1"] = []breakerState{{1, "open"}, {2, "open"}, {3, "closed"}} },
		"breaker open: b:1, on 2 of 3 nodes: 503 at once")
	f(func(was, is *sight) { was.breakers["b:1"][0].state, is.breakers["b:1"][1].state = "open", "half_open" },
		"breaker half open: b:1, requests try it")
	f(func(was, is *sight) { was.breakers["b:1"][0].state = "open" }, "breaker closed: b:1, requests pass again")

	f(func(was, is *sight) { set(is, 2, func(s *state) { s.hash = "bbbbbbbbbb" }) },
		"config in effect: node 2: bbbbbbbb", "config drift: node 2: bbbbbbbb, nodes 1, 3: aaaaaaaa")
	f(func(was, is *sight) { set(was, 2, func(s *state) { s.hash = "bbbbbbbbbb" }) },
		"config in effect: node 2: aaaaaaaa", "drift over: nodes 1, 2, 3: aaaaaaaa")
	f(func(was, is *sight) {
		for n := 1; n <= 3; n++ {
			set(is, n, func(s *state) { s.hash = "bbbbbbbbbb" })
		}
	}, "config in effect: nodes 1, 2, 3: bbbbbbbb")
	f(func(was, is *sight) { set(is, 1, func(s *state) { s.refused = true }) }, "config refused: node 1: the old one goes on")
	f(func(was, is *sight) { set(was, 1, func(s *state) { s.refused = true }) }, "config in effect: node 1: aaaaaaaa")
}
