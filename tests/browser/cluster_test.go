package browser

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/go-api-gateway-pro/gateway/tests/echo"
	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const token = "a-token-for-the-browser"

// cluster is three gateways, a Redis and two upstreams.
type cluster struct {
	t          *testing.T
	nodes      []*harness.Gateway
	redis      *miniredis.Miniredis
	users      *httptest.Server
	catalog    *httptest.Server
	configured harness.Config
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, redis: miniredis.RunT(t), users: upstream(t, "users"), catalog: upstream(t, "catalog")}
	c.configured = harness.Config{
		Server: "drain_delay_ms: 0", Token: token, Redis: c.redis.Addr(), Budget: 200, Global: "rps: 5000, burst: 6000",
		Routes: []string{
			`path: "/users/*", upstream: "` + c.users.URL + `", strip_prefix: "/users", methods: [GET, POST], breaker: {failures: 3, open_ms: 60000}, retry: {attempts: 0}, rate_limits: [{rps: 400, burst: 600, key_by: ip}, {rate: 90000, per: hour, burst: 9000, key_by: ip, name: users-hourly}]`,
			`path: "/catalog/*", upstream: "` + c.catalog.URL + `", strip_prefix: "/catalog", methods: [GET], rate_limit: {rps: 20, burst: 30, key_by: ip}`,
			`path: "/search", upstream: "` + c.catalog.URL + `"`,
		},
	}
	c.nodes = gateway.StartCluster(t, 3, c.configured)
	return c
}

func upstream(t *testing.T, name string) *httptest.Server {
	t.Helper()
	web := httptest.NewServer(echo.New(name))
	t.Cleanup(web.Close)
	return web
}

// backend is an upstream's name among the breakers.
func backend(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }

func page(g *harness.Gateway) string { return "http://" + g.Admin + "/" }

// fail lets an upstream fail, until heal.
func (c *cluster) fail(s *httptest.Server) { harness.Ask(c.t, "POST", s.URL+"/_fail?status=503", "") }
func (c *cluster) heal(s *httptest.Server) { harness.Ask(c.t, "POST", s.URL+"/_heal", "") }

// breaker is what a node says of a backend's.
func (c *cluster) breaker(node int, name string) harness.Breaker {
	c.t.Helper()
	all := c.nodes[node].Cluster().Breakers
	i := slices.IndexFunc(all, func(b harness.Breaker) bool { return b.Backend == name })
	if i < 0 {
		return harness.Breaker{}
	}
	return all[i]
}

// until waits for what the cluster knows, by the word of its first node.
func (c *cluster) until(what string, ok func() bool) {
	c.t.Helper()
	harness.Eventually(c.t, patience, what, ok)
}

// drifted is the configuration with one more route.
func (c *cluster) drifted() string {
	other := c.configured
	other.Bind, other.Join = "127.0.0.1:0", c.nodes[0].Cluster().Own().Address
	other.Routes = append(slices.Clone(other.Routes), `path: "/beta", upstream: "`+c.catalog.URL+`"`)
	return other.YAML()
}

// post tries to override a breaker without a browser and returns the status.
func (c *cluster) post(headers ...string) int {
	return harness.Ask(c.t, http.MethodPost, "http://"+c.nodes[0].Admin+"/cluster/breakers",
		`{"backend": "`+backend(c.users)+`", "state": "open", "for_s": 60}`, headers...).Status
}
