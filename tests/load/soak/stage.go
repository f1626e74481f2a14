package soak

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
	"github.com/go-api-gateway-pro/gateway/tests/load/attack"
)

const (
	nodes      = 3
	readyLimit = 30 * time.Second
	tokenLife  = 24 * time.Hour
)

// stage is the cluster and what it stands on.
type stage struct {
	tb      testing.TB
	nodes   []*harness.Gateway
	ups     []*upstream // share the load: while one restarts the others answer
	streams *upstream   // is never restarted: what streams cannot be tried again
	version int         // of the configuration
	config  harness.Config
}

func newStage(tb testing.TB, binary harness.Binary) *stage {
	tb.Helper()
	ports := harness.Ports(tb, 4)
	redis := harness.NewRedis(tb, ports[0])
	redis.Start()
	s := &stage{tb: tb, version: 1, streams: newUpstream(tb, harness.Loopback(ports[3]))}
	for _, port := range ports[1:3] {
		s.ups = append(s.ups, newUpstream(tb, harness.Loopback(port)))
	}
	s.config = harness.Config{
		Server: `trusted_proxies: ["127.0.0.1"], max_connections_per_client: 0, drain_delay_ms: 0`, Redis: redis.Addr,
		Global: "rps: 100000", Routes: s.routes(),
	}
	s.nodes = binary.StartCluster(tb, nodes, s.config)
	for _, g := range s.nodes {
		harness.Eventually(tb, readyLimit, g.Addr+" uses Redis", func() bool { return g.Ready().Limits == "redis" })
	}
	return s
}

// routes are those of the shipped configuration in small; a header tells the version.
func (s *stage) routes() []string {
	pool := fmt.Sprintf(`upstreams: [{url: "http://%s"}, {url: "http://%s"}], retry: {attempts: 3, backoff_ms: 20}, breaker: {open_ms: 500}`, s.ups[0].addr, s.ups[1].addr)
	version := fmt.Sprintf(`response_headers: {set: {X-Version: "%d"}}`, s.version)
	return []string{
		`path: "/api/users/*", auth_required: true, rate_limit: {rps: 100, burst: 150, key_by: user}, ` + version + ", " + pool,
		`path: "/api/public/*", rate_limit: {rps: 200, burst: 250, key_by: ip}, ` + pool,
		fmt.Sprintf(`path: "/streams/*", strip_prefix: "/streams", stream: true, upstream: "http://%s"`, s.streams.addr),
	}
}

// reload gives every node the next configuration.
func (s *stage) reload() {
	s.tb.Helper()
	s.version++
	s.config.Routes = s.routes()
	contact := s.nodes[0].Cluster().Own().Address
	for _, g := range s.nodes {
		next := s.config
		if next.Bind = loopbackAny; g != s.nodes[0] {
			next.Join = contact
		}
		g.Replace(next.YAML())
	}
}

const loopbackAny = "127.0.0.1:0" // as [harness.Binary.StartCluster] binds gossip

// running reports whether a node runs the stage's configuration.
func (s *stage) running(g *harness.Gateway) bool {
	return g.Metrics().Sum("gateway_config_info", `version="`+strconv.Itoa(s.version)+`"`) == 1
}

// attack makes the load that lasts so long, at rate requests a second in all.
func (s *stage) attack(file *attack.File, rate float64, lasts time.Duration) (*attack.Attack, error) {
	load, err := file.Scenario("soak")
	if err != nil {
		return nil, err
	}
	var all float64
	for _, t := range load.Targets {
		all += t.Rate
	}
	for i := range load.Targets {
		load.Targets[i].Rate *= rate / all
	}
	load.Seconds = lasts.Seconds()
	a := &attack.Attack{File: file, Scenario: load, Token: s.token, Dress: dress}
	for _, g := range s.nodes {
		a.Gateways = append(a.Gateways, "http://"+g.Addr)
	}
	return a, nil
}

// rush is a short load at full speed in which no address comes twice: what remembers
// clients is full when it has passed.
func rush(of *attack.Attack, lasts time.Duration) *attack.Attack {
	a := *of
	a.Scenario = attack.Scenario{Seconds: lasts.Seconds(), Targets: []attack.Target{
		{Name: "rush", Method: http.MethodGet, Path: "/api/public/rush", Workers: 16},
	}}
	a.Dress = func(turn int, h http.Header) { dress(turn+1<<23, h) }
	return &a
}

// token is one of a user's own.
func (s *stage) token(user int) (string, error) {
	now := time.Now()
	return harness.Forge(s.tb, "HS256", harness.Secret, map[string]any{
		"sub": "soak-" + strconv.Itoa(user), "iss": "api-gateway", "iat": now.Unix(), "exp": now.Add(tokenLife).Unix(),
	}), nil
}

// dress gives each turn an address of its own, from 10.0.0.0/8.
func dress(turn int, h http.Header) {
	addr := netip.AddrFrom4([4]byte{10, byte(turn >> 16), byte(turn >> 8), byte(turn)})
	h.Set("X-Forwarded-For", addr.String())
}
