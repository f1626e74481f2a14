package main

import (
	"context"
	"reflect"
	"slices"
	"time"
)

// The nodes learn of things one after the other, and one event is to be one line:
// a change is told when it has stood for a look, or for some if the nodes differ.
const (
	followEvery = 200 * time.Millisecond
	patientFor  = 10 // looks
)

// sight is what the nodes said at one moment. Equal ones need no telling.
type sight struct {
	members  []int         // node numbers in the cluster, as the first node that answers sees it
	nodes    map[int]state // of those that answer
	breakers map[string][]breakerState
}

// state is what a node says about itself.
type state struct {
	mode    string
	version int
	hash    string
	refused bool
}

// breakerState is a backend's breaker as one node sees it.
type breakerState struct {
	node  int
	state string
}

// follow tells what happens in the cluster until ctx ends.
func (d *demo) follow(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	d.onClose(func() { cancel(); <-done })
	go func() {
		defer close(done)
		ticker := time.NewTicker(followEvery)
		defer ticker.Stop()
		told := d.see(ctx)
		before, stood := told, 0
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if err := d.files.spread(len(d.at.nodes)); err != nil {
				d.say("%s %v", d.style.Bad("config"), err)
			}
			now := d.see(ctx)
			if ctx.Err() != nil {
				return
			}
			if stood++; !reflect.DeepEqual(now, before) {
				before, stood = now, 0
			}
			if stood >= patientFor || stood > 0 && now.agreed() {
				d.tell(events(told, now))
				told = now
			}
		}
	}()
}

// agreed reports whether all nodes say the same.
func (s sight) agreed() bool {
	modes, hashes, results := map[string]bool{}, map[string]bool{}, map[bool]bool{}
	for _, n := range s.nodes {
		modes[n.mode], hashes[n.hash], results[n.refused] = true, true, true
	}
	for _, all := range s.breakers {
		states := map[string]bool{}
		for _, b := range all {
			states[b.state] = true
		}
		if len(states) > 1 {
			return false
		}
	}
	return len(modes) <= 1 && len(hashes) <= 1 && len(results) <= 1 && len(s.members) == len(s.nodes)
}

// see asks every node; one that does not answer is not there.
func (d *demo) see(ctx context.Context) sight {
	s := sight{nodes: map[int]state{}, breakers: map[string][]breakerState{}}
	for _, m := range d.members {
		v, err := d.look(ctx, m)
		if err != nil {
			continue
		}
		if len(s.nodes) == 0 {
			s.members = d.numbers(v)
		}
		for _, row := range v.Members {
			if row.Name == v.Self {
				s.nodes[m.number] = state{row.Mode, row.Config.Version, row.Config.Hash, row.Config.Result == "refused"}
			}
		}
		for _, b := range v.Breakers {
			name := d.backend(b.Backend)
			s.breakers[name] = append(s.breakers[name], breakerState{m.number, b.State})
		}
	}
	return s
}

// backend puts an upstream's name before its address.
func (d *demo) backend(addr string) string {
	for _, u := range []*upstream{d.users, d.public} {
		if u.url == "http://"+addr {
			return u.name + " at " + addr
		}
	}
	return addr
}

// numbers turns members into node numbers, by their addresses.
func (d *demo) numbers(v view) []int {
	var out []int
	for _, row := range v.Members {
		if i := slices.IndexFunc(d.at.nodes, func(at nodeAddresses) bool { return at.gossip == row.Address }); i >= 0 {
			out = append(out, i+1)
		}
	}
	slices.Sort(out)
	return out
}
