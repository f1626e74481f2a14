package node

import (
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/auth"
	"github.com/go-api-gateway-pro/gateway/limiter"
	"github.com/go-api-gateway-pro/gateway/node/config"
	"github.com/go-api-gateway-pro/gateway/node/openapi"
	"github.com/go-api-gateway-pro/gateway/proxy"
	"github.com/go-api-gateway-pro/gateway/proxy/router"
	"github.com/go-api-gateway-pro/gateway/telemetry"
)

// maxBuckets is how many buckets one request can meet: the cluster's and those of
// its route.
const maxBuckets = 1 + config.MaxLimits

// A stranger who fails to authenticate may try this often a second, if the
// route has no ip limit of its own.
const strangerRPS = 20

// snapshot is one configuration, compiled. It is built whole, stored once and
// never written again; a request works with one snapshot from start to end.
type snapshot struct {
	config          *config.Config
	router          *router.Router
	routes          []*route
	limits          []*limit // each once: the cluster's, then those of the routes in their order
	limitClaims     []string // that limits count by
	addresses       *auth.Addresses
	verifier        *auth.Verifier
	identityHeaders []string // client copies of these are removed
	tokenHeaders    []string // and the token itself, where it is not to be passed on
	cors            *cors
	routeCORS       bool                   // some route has its own
	openapi         func() ([]byte, error) // made when it is first asked for, then kept
	bodyLimit       int                    // the largest of all routes
}

// route is a configured route with everything a request on it needs.
type route struct {
	label    string
	timeout  time.Duration
	idle     time.Duration // longest silence of a streamed body
	stream   bool          // pass on bodies as they come, however small
	gate     auth.Gate
	global   *limit // the cluster's bucket, nil without one
	limits   []limit
	knocking limiter.Limit // what failed authentications are charged to
	upstream *proxy.Upstream
	metrics  *telemetry.Route

	allow, deny     auth.Networks
	cors            *cors           // nil: the cluster's
	rewrite         *router.Rewrite // nil: the path stays
	responseHeaders proxy.HeaderChange
	crowd           *crowd // who is on it
	maxInFlight     int
	bodyLimit       int
}

// compile builds a snapshot. It changes nothing that is running.
func (n *Node) compile(cfg *config.Config) (*snapshot, error) {
	table, err := router.New(cfg.Matches())
	if err != nil {
		return nil, err
	}
	addresses, err := auth.NewAddresses(cfg.Server.TrustedProxies, cfg.Server.IPv6Prefix)
	if err != nil {
		return nil, err
	}
	s := &snapshot{config: cfg, router: table, addresses: addresses, cors: newCORS(cfg.CORS), limitClaims: cfg.LimitClaims()}
	gates, err := n.admission(s)
	if err != nil {
		return nil, err
	}
	ids := limitIDs(cfg.Routes)
	for i := range cfg.Routes {
		s.routes = append(s.routes, n.newRoute(s, &cfg.Routes[i], ids[i]))
		s.bodyLimit = max(s.bodyLimit, s.routes[i].bodyLimit)
		s.routes[i].gate = gates[i]
		if err := s.routes[i].shape(&cfg.Routes[i]); err != nil {
			return nil, err
		}
		s.routeCORS = s.routeCORS || s.routes[i].cors != nil
	}
	s.limits = s.distinctLimits()
	s.openapi = sync.OnceValues(func() ([]byte, error) { return openapi.Document(cfg, n.version) })
	return s, nil
}

// distinctLimits lists every limit once.
func (s *snapshot) distinctLimits() []*limit {
	var out []*limit
	seen := map[string]bool{}
	add := func(l *limit) {
		if !seen[l.limit.ID] {
			seen[l.limit.ID] = true
			out = append(out, l)
		}
	}
	for _, r := range s.routes {
		if r.global != nil {
			add(r.global)
		}
		for i := range r.limits {
			add(&r.limits[i])
		}
	}
	return out
}

func (n *Node) newRoute(s *snapshot, r *config.Route, id string) *route {
	out := &route{
		label:    r.Label(),
		timeout:  time.Duration(r.TimeoutMS) * time.Millisecond,
		idle:     time.Duration(r.IdleTimeoutMS) * time.Millisecond,
		stream:   r.Stream,
		upstream: n.backends.Upstream(r.UpstreamConfig),
		metrics:  n.requests.Route(r.Label()),
		crowd:    n.crowds.route(id),
		knocking: limiter.Limit{ID: "strangers", Scope: limiter.ScopeIP, Rate: strangerRPS, Burst: strangerRPS, Period: time.Second},
	}
	out.bodyLimit = s.config.Server.BodyLimitBytes
	if r.MaxBodyBytes > 0 {
		out.bodyLimit = min(out.bodyLimit, r.MaxBodyBytes)
	}
	if g := s.config.GlobalRateLimit; g != nil {
		out.global = newLimit("global", g, nil)
	}
	for _, l := range r.Limits() {
		own := newLimit(id, &l, s.limitClaims)
		out.limits = append(out.limits, *own)
		if l.KeyBy == limiter.ScopeIP && !l.Shadow {
			out.knocking = own.limit
		}
	}
	return out
}

// limitIDs names each route's buckets: by its path, or by hosts, methods and
// path where routes share a path.
func limitIDs(routes []config.Route) []string {
	count := map[string]int{}
	for _, r := range routes {
		count[r.Path]++
	}
	ids := make([]string, len(routes))
	for i, r := range routes {
		ids[i] = r.Path
		if count[r.Path] > 1 {
			ids[i] = strings.Join(r.Methods, ",") + " " + strings.ToLower(strings.Join(r.Hosts, ",")) + r.Path
		}
	}
	return ids
}

// match finds a request's route.
func (s *snapshot) match(method, host, path string) (*route, error) {
	i, err := s.router.Match(method, host, path)
	if err != nil {
		return nil, err
	}
	return s.routes[i], nil
}

// buckets appends what a request on the route is charged to.
func (r *route) buckets(to []limiter.Bucket, ctx *fasthttp.RequestCtx, x *exchange) []limiter.Bucket {
	if r.global != nil {
		to = append(to, r.global.bucket(ctx, x))
	}
	for i := range r.limits {
		to = append(to, r.limits[i].bucket(ctx, x))
	}
	return to
}

// stranger is the bucket of a failed authentication.
func (r *route) stranger(x *exchange) limiter.Bucket {
	return limiter.Bucket{Limit: &r.knocking, Key: x.snapshot.addresses.LimitKey(x.client), Cost: 1}
}

// limitIDs lists the limits whose state must be kept.
func (s *snapshot) limitIDs() map[string]bool {
	ids := map[string]bool{"strangers": true}
	for _, r := range s.routes {
		if r.global != nil {
			ids[r.global.limit.ID] = true
		}
		for _, l := range r.limits {
			ids[l.limit.ID], ids[l.byIP.ID] = true, true
		}
	}
	return ids
}

func (s *snapshot) labels() map[string]bool {
	labels := map[string]bool{"unmatched": true, "preflight": true}
	for _, r := range s.routes {
		labels[r.label] = true
	}
	return labels
}

func (s *snapshot) upstreams() []*proxy.Upstream {
	out := make([]*proxy.Upstream, len(s.routes))
	for i, r := range s.routes {
		out[i] = r.upstream
	}
	return out
}
