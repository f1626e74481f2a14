package node

import (
	"cmp"
	"time"

	"github.com/go-api-gateway-pro/gateway/cluster/push"
	"github.com/go-api-gateway-pro/gateway/limiter"
	"github.com/go-api-gateway-pro/gateway/proxy"
	"github.com/go-api-gateway-pro/gateway/proxy/breaker"
)

// clusterView is the answer of GET /cluster and what GET /events sends each
// second: all that the cluster page shows. Rates are of the last second.
type clusterView struct {
	Self     string        `json:"self"`
	Now      time.Time     `json:"now"`      // times below are by the same clock
	Writable bool          `json:"writable"` // operators with the token may change something
	Warnings []string      `json:"warnings"` // what must change before production
	Members  []memberView  `json:"members"`
	Breakers []breakerView `json:"breakers"`
	Pushes   []push.Report `json:"pushes"` // the newest first
	Redis    redisView     `json:"redis"`
	Global   *limitView    `json:"global_rate_limit,omitempty"`
	Routes   []routeView   `json:"routes"`
	Events   []event       `json:"events"` // the newest first
}

type memberView struct {
	Name     string       `json:"name"`
	Address  string       `json:"address"`
	Version  string       `json:"version"`
	UptimeS  int64        `json:"uptime_s"`
	Mode     string       `json:"mode"`
	Health   int          `json:"health_score"`
	RPS      uint64       `json:"rps"`
	P99MS    float64      `json:"p99_ms"`
	Errors   uint64       `json:"errors_5xx"`
	Limited  uint64       `json:"answers_429"`
	Draining bool         `json:"draining"`
	SilentMS int64        `json:"silent_ms"` // since its last word, if that is too long ago
	Drifted  bool         `json:"drifted"`   // runs another configuration than most
	Config   configStatus `json:"config"`
	Trail    trail        `json:"trail"`
}

// redisView is where the limits are decided.
type redisView struct {
	Configured bool `json:"configured"`
	Local      int  `json:"members_local"` // members that limit by their share
	// Decisions are the checks of all members in the last second, by source.
	Decisions map[string]uint64 `json:"decisions"`
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
	s := n.snapshot.Load()
	statuses := n.liveStatuses()
	second, trails, events := n.board.recall()
	view := clusterView{
		Self: n.name, Now: n.now().UTC(), Writable: s.config.Admin.Token != "", Warnings: weaknesses(s.config),
		Members: []memberView{}, Breakers: []breakerView{}, Pushes: n.pusher.Recent(), Events: events,
		Redis: redisView{Configured: len(s.config.Redis.Addrs) > 0, Decisions: map[string]uint64{}},
	}
	usual := usualHash(statuses)
	for _, m := range n.peer.Members() {
		st := statuses[m.Name]
		view.Members = append(view.Members, memberView{
			Name: m.Name, Address: m.Address, Version: m.Version,
			UptimeS: st.UptimeS, Mode: st.Mode, Health: st.Health, RPS: st.RPS, P99MS: st.P99MS,
			Errors: st.Errors, Limited: st.Limited, Draining: st.Draining,
			SilentMS: st.silence(m.Self), Drifted: st.Config.Hash != "" && st.Config.Hash != usual, Config: st.Config, Trail: trails[m.Name],
		})
		view.Redis.add(st)
	}
	for _, b := range n.backends.Breakers() {
		view.Breakers = append(view.Breakers, viewOf(b))
	}
	view.Global, view.Routes = n.routeViews(s, second, statuses)
	return view
}

// silence is how long nothing was heard of another member, 0 if that is usual.
func (s *status) silence(self bool) int64 {
	if self || !s.isSilent() {
		return 0
	}
	return s.age.Milliseconds()
}

func (r *redisView) add(s status) {
	if s.Mode == limiter.ModeLocal {
		r.Local++
	}
	for source, count := range s.Decisions {
		r.Decisions[source] += count
	}
}

// usualHash is the configuration that most members run; of two that are run by as
// many, the one that was there first.
func usualHash(statuses map[string]status) string {
	count, since := map[string]int{}, map[string]time.Time{}
	for _, s := range statuses {
		hash, at := s.Config.Hash, s.Config.LoadedAt
		if first, seen := since[hash]; !seen || at.Before(first) {
			since[hash] = at
		}
		count[hash]++
	}
	usual := ""
	for hash := range count {
		if hash == "" {
			continue
		}
		order := cmp.Or(cmp.Compare(count[hash], count[usual]), since[usual].Compare(since[hash]), cmp.Compare(usual, hash))
		if usual == "" || order > 0 {
			usual = hash
		}
	}
	return usual
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
