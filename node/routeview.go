package node

import (
	"net/url"
	"time"

	"github.com/go-api-gateway-pro/gateway/node/config"
)

// routeView is a route with its limits and what the cluster did on it in the last
// second.
type routeView struct {
	Route     string      `json:"route"`
	Methods   []string    `json:"methods"` // empty: all
	Auth      string      `json:"auth"`    // required, optional or none
	Upstreams []string    `json:"upstreams"`
	RPS       uint64      `json:"rps"`
	Errors    uint64      `json:"errors_5xx"`
	Limits    []limitView `json:"limits"`
}

// limitView is a limit and how it is used. Used and Denied are the highest and the
// sum over the members of this node's configuration; the others tell only their
// emptiest limits.
type limitView struct {
	Name   string  `json:"name"`
	KeyBy  string  `json:"key_by"`
	Rate   int     `json:"rate"`
	Per    string  `json:"per"` // second, minute, hour or day
	Burst  int     `json:"burst"`
	Shadow bool    `json:"shadow,omitempty"`
	Strict bool    `json:"strict,omitempty"`
	Used   float64 `json:"used"`   // part of the emptiest bucket that is taken
	Denied uint64  `json:"denied"` // requests in the last second
}

// routeViews composes the cluster's limit and all routes. Second is nil or may be
// of an earlier configuration, which tells nothing of this one.
func (n *Node) routeViews(s *snapshot, second *measure, statuses map[string]status) (*limitView, []routeView) {
	rates, levels := make([]routeRate, len(s.routes)), make([]limitLevel, len(s.limits))
	if second != nil && second.snapshot == s {
		copy(rates, second.routes)
		copy(levels, second.limits)
	}
	hash := s.config.Hash()
	for name, other := range statuses {
		if name != n.name && other.Config.Hash == hash {
			addRates(rates, other.Routes)
			addLevels(levels, other.Limits)
		}
	}
	byID := make(map[string]limitLevel, len(levels))
	for i, l := range s.limits {
		byID[l.limit.ID] = levels[i]
	}
	out := make([]routeView, len(s.routes))
	var global *limitView
	for i, r := range s.routes {
		out[i] = viewOfRoute(r, &s.config.Routes[i], byID)
		out[i].RPS, out[i].Errors = rates[i].requests, rates[i].failed
		if r.global != nil {
			v := viewOfLimit(r.global, s.config.GlobalRateLimit, byID)
			global = &v
		}
	}
	return global, out
}

// addRates adds what another member told of its routes.
func addRates(rates []routeRate, told [][3]uint64) {
	for _, row := range told {
		if row[0] < uint64(len(rates)) {
			rates[row[0]].requests += row[1]
			rates[row[0]].failed += row[2]
		}
	}
}

// addLevels does so for its limits.
func addLevels(levels []limitLevel, told [][3]uint64) {
	for _, row := range told {
		if row[0] < uint64(len(levels)) {
			l := &levels[row[0]]
			l.used = max(l.used, min(float64(row[1])/1000, 1))
			l.denied += row[2]
		}
	}
}

func viewOfRoute(r *route, c *config.Route, levels map[string]limitLevel) routeView {
	out := routeView{Route: r.label, Methods: c.Methods, Auth: "none", Upstreams: hostsOf(c), Limits: []limitView{}}
	switch {
	case c.AuthRequired:
		out.Auth = "required"
	case c.AuthOptional:
		out.Auth = "optional"
	}
	if out.Methods == nil {
		out.Methods = []string{} // a list in JSON, not null
	}
	configured := c.Limits()
	for i := range r.limits {
		out.Limits = append(out.Limits, viewOfLimit(&r.limits[i], &configured[i], levels))
	}
	return out
}

func viewOfLimit(l *limit, c *config.RateLimit, levels map[string]limitLevel) limitView {
	level := levels[l.limit.ID]
	return limitView{
		Name: c.Name, KeyBy: keyOf(l, c), Rate: l.limit.Rate, Per: unit(l.limit.Period), Burst: l.limit.Burst,
		Shadow: l.limit.Shadow, Strict: l.limit.Strict, Used: level.used, Denied: level.denied,
	}
}

// keyOf is what tells the limit's buckets apart, the default spelled out.
func keyOf(l *limit, c *config.RateLimit) string {
	if c.KeyBy == "" {
		return l.limit.Scope
	}
	return c.KeyBy
}

func unit(period time.Duration) string {
	switch period {
	case time.Minute:
		return "minute"
	case time.Hour:
		return "hour"
	case 24 * time.Hour:
		return "day"
	}
	return "second"
}

// hostsOf lists where a route leads: hosts only, a URL may hold more than is to be
// shown.
func hostsOf(c *config.Route) []string {
	urls := []string{}
	if c.URL != "" {
		urls = append(urls, c.URL)
	}
	for _, u := range c.Upstreams {
		urls = append(urls, u.URL)
	}
	for i, text := range urls {
		if u, err := url.Parse(text); err == nil {
			urls[i] = u.Host
		}
	}
	return urls
}
