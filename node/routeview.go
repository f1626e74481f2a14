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
	Methods   []string    `json:"methods"` // empty: all but TRACE and CONNECT
	Auth      string      `json:"auth"`    // required, optional or none
	Upstreams []string    `json:"upstreams"`
	RPS       uint64      `json:"rps"`
	Errors    uint64      `json:"errors_5xx"`
	Limits    []limitView `json:"limits"`
}

// limitView is a limit and how it is used. Used and Denied are the highest and the
// sum over the members, of which each tells the others its busiest limits only.
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
	for i, r := range s.routes {
		rates[i].add(statuses, n.name, markOf(r.label))
	}
	for i, l := range s.limits {
		levels[i].add(statuses, n.name, markOf(l.limit.ID))
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

// add adds what the others told of the route with this mark.
func (r *routeRate) add(statuses map[string]status, self string, mark uint64) {
	for name, other := range statuses {
		if row, told := find(other.Routes, mark); told && name != self {
			r.requests += row[1]
			r.failed += row[2]
		}
	}
}

// add adds what the others told of the limit with this mark.
func (l *limitLevel) add(statuses map[string]status, self string, mark uint64) {
	for name, other := range statuses {
		if row, told := find(other.Limits, mark); told && name != self {
			l.used = max(l.used, min(float64(row[1])/1000, 1))
			l.denied += row[2]
		}
	}
}

func find(rows [][3]uint64, mark uint64) (row [3]uint64, told bool) {
	for _, row := range rows {
		if row[0] == mark {
			return row, true
		}
	}
	return row, false
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
