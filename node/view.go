package node

import (
	"time"

	"github.com/go-api-gateway-pro/gateway/cluster/push"
	"github.com/go-api-gateway-pro/gateway/proxy"
	"github.com/go-api-gateway-pro/gateway/proxy/breaker"
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

// breakerView is one backend's breaker: this node's state, and who in the whole
// cluster holds it open.
type breakerView struct {
	Backend   string        `json:"backend"`
	State     string        `json:"state"`
	By        []string      `json:"by"`
	Since     *time.Time    `json:"since,omitempty"`
	NextProbe *time.Time    `json:"next_probe,omitempty"`
	Override  *overrideView `json:"override,omitempty"`
}

// overrideView is an operator's word in force.
type overrideView struct {
	State string    `json:"state"`
	By    string    `json:"by"` // the node that took it
	Until time.Time `json:"until"`
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
	for _, b := range n.backends.Breakers() {
		view.Breakers = append(view.Breakers, viewOf(b))
	}
	return view
}

func viewOf(b proxy.BreakerStatus) breakerView {
	out := breakerView{Backend: b.Backend, State: b.State, By: b.By, Since: set(b.Since), NextProbe: set(b.NextProbe)}
	if out.By == nil {
		out.By = []string{} // a list in JSON, not null
	}
	if b.Override != breaker.Auto {
		out.Override = &overrideView{State: b.Override.String(), By: b.OverrideBy, Until: b.OverrideUntil}
	}
	return out
}

// set returns nil for a time that was never set.
func set(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
