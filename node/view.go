package node

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-api-gateway-pro/gateway/cluster/push"
)

// clusterView is the answer of GET /cluster.
type clusterView struct {
	Self     string        `json:"self"`
	Members  []memberView  `json:"members"`
	Breakers []breakerView `json:"breakers"`
	Pushes   []push.Report `json:"pushes"` // the newest first
}

type memberView struct {
	Name    string       `json:"name"`
	Address string       `json:"address"`
	Version string       `json:"version"`
	UptimeS int64        `json:"uptime_s"`
	Mode    string       `json:"mode"`
	Health  int          `json:"health_score"`
	RPS     uint64       `json:"rps"`
	P99MS   float64      `json:"p99_ms"`
	Config  configStatus `json:"config"`
}

// breakerView is one backend's breaker as the whole cluster sees it.
type breakerView struct {
	Backend   string     `json:"backend"`
	State     string     `json:"state"`
	By        []string   `json:"by"` // members that hold it open
	Since     *time.Time `json:"since,omitempty"`
	NextProbe *time.Time `json:"next_probe,omitempty"`
}

// clusterView composes what this node knows of the cluster.
func (n *Node) clusterView() clusterView {
	view := clusterView{Self: n.name, Members: []memberView{}, Breakers: []breakerView{}, Pushes: n.pusher.Recent()}
	statuses := n.liveStatuses()
	for _, m := range n.peer.Members() {
		s := statuses[m.Name]
		view.Members = append(view.Members, memberView{
			Name: m.Name, Address: m.Address, Version: m.Version,
			UptimeS: s.UptimeS, Mode: s.Mode, Health: s.Health, RPS: s.RPS, P99MS: s.P99MS, Config: s.Config,
		})
	}
	own := statuses[n.name]
	own.Breakers = n.failingBreakers() // its row is up to a second old
	statuses[n.name] = own
	view.Breakers = n.breakerViews(statuses)
	return view
}

// breakerViews lists this node's backends and those that others hold open.
func (n *Node) breakerViews(statuses map[string]status) []breakerView {
	views := map[string]*breakerView{}
	for _, b := range n.backends.Breakers() {
		views[b.Backend] = &breakerView{Backend: b.Backend, State: "closed", By: []string{}}
	}
	for _, name := range slices.Sorted(maps.Keys(statuses)) {
		for _, b := range statuses[name].Breakers {
			v := views[b.Backend]
			if v == nil {
				v = &breakerView{Backend: b.Backend, By: []string{}}
				views[b.Backend] = v
			}
			v.State, v.By = b.State, append(v.By, name)
			v.Since, v.NextProbe = set(b.Since), set(b.NextProbe)
		}
	}
	out := []breakerView{}
	for _, v := range views {
		out = append(out, *v)
	}
	slices.SortFunc(out, func(a, b breakerView) int { return strings.Compare(a.Backend, b.Backend) })
	return out
}

// set returns nil for a time that was never set.
func set(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
