package proxy

import (
	"strings"
	"testing"

	"github.com/go-api-gateway-pro/gateway/proxy/breaker"
)

func TestUpstreamConfigValidate(t *testing.T) {
	f := func(want string, change func(*UpstreamConfig)) {
		t.Helper()
		c := configFor("http://users:8080")
		change(&c)
		err := c.Validate()
		switch {
		case want == "" && err != nil:
			t.Errorf("got %v, want none", err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)):
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("", func(*UpstreamConfig) {})
	f("", func(c *UpstreamConfig) { c.URL = "https://users/base/v1/" })
	f("", func(c *UpstreamConfig) { c.URL = "http://[::1]:80" })
	f("upstream: must be an http or https URL", func(c *UpstreamConfig) { c.URL = "" })
	f("upstream: must be an http or https URL", func(c *UpstreamConfig) { c.URL = "ftp://x" })
	f("upstream: must be an http or https URL", func(c *UpstreamConfig) { c.URL = "http://:80" })
	f("upstream: must have no user", func(c *UpstreamConfig) { c.URL = "http://u:p@x" })
	f("upstream: must have no user", func(c *UpstreamConfig) { c.URL = "http://x?a=1" })
	f("upstream: must have no user", func(c *UpstreamConfig) { c.URL = "http://x#a" })
	f("upstream: must have a port between", func(c *UpstreamConfig) { c.URL = "http://x:70000" })
	f("upstream: must have a canonical path", func(c *UpstreamConfig) { c.URL = "http://x/a/../b" })
	several := func(urls ...WeightedURL) func(*UpstreamConfig) {
		return func(c *UpstreamConfig) { c.URL, c.Upstreams = "", urls }
	}
	f("", several(WeightedURL{"http://a", 1}, WeightedURL{"https://a", 1000}, WeightedURL{"http://a:81/v1", 5}))
	f("upstreams[1].url: must be an http or https URL", several(WeightedURL{"http://a", 1}, WeightedURL{"b", 1}))
	f("upstreams[0].weight: must be between 1 and 1000, got 0", several(WeightedURL{"http://a", 0}))
	f(`upstreams[1].url: must be another host or port than that of upstreams[0], got "http://A/x"`, several(WeightedURL{"http://a:80", 1}, WeightedURL{"http://A/x", 1}))
	f("upstreams: must not stand beside upstream", func(c *UpstreamConfig) { c.Upstreams = []WeightedURL{{"http://a", 1}} })
	f(`balance: must be one of p2c, round_robin, hash, got "random"`, func(c *UpstreamConfig) { c.Balance = "random" })
	f("", func(c *UpstreamConfig) { c.Balance, c.HashBy = "hash", "header:X-Tenant" })
	f(`hash_by: must be ip, user or header:NAME, got "header:"`, func(c *UpstreamConfig) { c.HashBy = "header:" })
	f(`hash_by: must be ip, user or header:NAME, got "cookie"`, func(c *UpstreamConfig) { c.HashBy = "cookie" })
	f("strip_prefix: must be", func(c *UpstreamConfig) { c.StripPrefix = "api" })
	f("timeout_ms: must be between 1 and 3600000, got 0", func(c *UpstreamConfig) { c.TimeoutMS = 0 })
	f("retry.attempts: must be between 0 and 10, got -1", func(c *UpstreamConfig) { c.Retry.Attempts = -1 })
	f("idle_timeout_ms: ", func(c *UpstreamConfig) { c.IdleTimeoutMS = 0 })
	f("retry.backoff_ms: ", func(c *UpstreamConfig) { c.Retry.BackoffMS = -1 })
	f("retry.try_timeout_ms: ", func(c *UpstreamConfig) { c.Retry.TryTimeoutMS = -1 })
	f(`retry.methods[1]: must be one of GET, HEAD,`, func(c *UpstreamConfig) { c.Retry.Methods = []string{"GET", "get"} })
	f("retry.statuses[0]: must be between 400 and 599, got 200", func(c *UpstreamConfig) { c.Retry.Statuses = []int{200} })
	f("retry.budget_ratio: must be between 0 and 1, got 2", func(c *UpstreamConfig) { c.Retry.BudgetRatio = 2 })
	f("connections.max: must be between 1 and 100000, got 0", func(c *UpstreamConfig) { c.Connections = &ConnectionsConfig{} })
	f("connections.wait_ms: ", func(c *UpstreamConfig) { c.Connections = &ConnectionsConfig{Max: 1, WaitMS: -1} })
	check := func(path string, interval, timeout int) func(*UpstreamConfig) {
		return func(c *UpstreamConfig) { c.HealthCheck = &HealthCheckConfig{path, interval, timeout} }
	}
	f("", check("/health?full=1", 5000, 5000))
	f(`health_check.path: must be a canonical path such as /health, got ""`, check("", 5000, 1000))
	f(`health_check.path: must be a canonical path`, check("/a?b c", 5000, 1000))
	f("health_check.interval_ms: must be between 100 and", check("/", 99, 1))
	f("health_check.timeout_ms: must be between 1 and 5000, got 5001", check("/", 5000, 5001))
	rules := func(set, add map[string]string, remove ...string) func(*UpstreamConfig) {
		return func(c *UpstreamConfig) { c.RequestHeaders = HeaderRules{Set: set, Add: add, Remove: remove} }
	}
	f("", rules(map[string]string{"Authorization": "Basic x"}, map[string]string{"Via": "1.1 gateway"}, "Cookie"))
	f(`request_headers.remove[0]: must be the name of a header, got "a b"`, rules(nil, nil, "a b"))
	f(`request_headers.remove[0]: must not be a field that the gateway itself answers for, got "Host"`, rules(nil, nil, "Host"))
	f(`request_headers.set.content-length: must not be`, rules(map[string]string{"content-length": "1"}, nil))
	f(`request_headers.add.X: must be text without line breaks`, rules(nil, map[string]string{"X": "a\nb"}))
	f(`request_headers.add.X: must be text without line breaks`, rules(nil, map[string]string{"X": ""}))
	f("breaker.failures: ", func(c *UpstreamConfig) { c.Breaker.Failures = 0 })
	f("breaker.failure_ratio: ", func(c *UpstreamConfig) { c.Breaker.FailureRatio = 2 })
	f("breaker.window_ms: ", func(c *UpstreamConfig) { c.Breaker.WindowMS = 1 })
	f("breaker.open_ms: ", func(c *UpstreamConfig) { c.Breaker.OpenMS = 0 })
}

func TestUpstreamConfigReportsAllProblems(t *testing.T) {
	err := UpstreamConfig{URL: "http://u:secret@x", Breaker: &breaker.Config{}}.Validate()
	if err == nil || strings.Count(err.Error(), "\n") != 6 {
		t.Errorf("got %v, want seven problems", err)
	}
	if err != nil && strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows the password: %v", err)
	}
}

func TestRoutesAgreeOnTheirUpstream(t *testing.T) {
	f := func(want string, change ...func(*UpstreamConfig)) {
		t.Helper()
		var routes []UpstreamConfig
		for _, c := range change {
			routes = append(routes, configFor("http://users", c))
		}
		err := CheckShared(routes)
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	silent := func(*UpstreamConfig) {}
	conns := func(n int) func(*UpstreamConfig) {
		return func(c *UpstreamConfig) { c.Connections = &ConnectionsConfig{n, 0} }
	}
	check := func(path string) func(*UpstreamConfig) {
		return func(c *UpstreamConfig) { c.HealthCheck = &HealthCheckConfig{path, 1000, 1000} }
	}
	elsewhere := func(c *UpstreamConfig) { conns(9)(c); c.URL = "https://users" }
	opens := func(failures int) func(*UpstreamConfig) {
		return func(c *UpstreamConfig) { c.Breaker = &breaker.Config{Failures: failures, FailureRatio: 0.5} }
	}
	inherits := func(c *UpstreamConfig) { c.Breaker = nil }
	f("", inherits, opens(3), inherits, opens(3))
	f("routes[2].breaker: must equal that of routes[1], which has the same upstream http://users, or be left out there", inherits, opens(3), opens(4))
	f("", silent, conns(1), silent, conns(1), elsewhere)
	f("", check("/a"), silent, check("/a"))
	f("routes[2].connections: must equal that of routes[1], which has the same upstream http://users, or be left out there", silent, conns(1), conns(2))
	f("routes[1].health_check: must equal that of routes[0], which has the same upstream http://users, or be left out there", check("/a"), check("/b"))
}
