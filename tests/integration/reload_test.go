package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// 2,000 requests while the file changes ten times, one of them for the worse.
func TestReloadUnderLoad(t *testing.T) {
	const changes, broken = 10, 5
	redis, up := newRedis(t), newUpstream(t)
	config := func(i int) string {
		c := harness.Config{Redis: redis.Addr, Budget: patientBudget, Routes: []string{
			fmt.Sprintf(`path: "/limited/*", upstream: %q, timeout_ms: %d, rate_limit: {rps: 5000}`, up.URL, 5000+i),
		}}
		if i == broken {
			c.Routes = append(c.Routes, `path: "/new/*", upstream: "http://127.0.0.1:1", rate_limit: {rps: -1}`)
		}
		return c.YAML()
	}
	g := gateway.Start(t, config(0))

	load := harness.Load{URLs: []string{g.URL("/limited/x")}, Count: 2000, Rate: 250}
	got := during(t.Context(), load, func() {
		version := 1
		for i := 1; i <= changes; i++ {
			g.Replace(config(i))
			want := "ok"
			if i == broken {
				want = "refused"
			} else {
				version++
			}
			harness.Eventually(t, 10*time.Second, fmt.Sprintf("change %d is %s at version %d", i, want, version), func() bool {
				own := g.Cluster().Own().Config
				return own.Result == want && own.Version == version
			})
		}
	})

	if ok := got.Count(200); ok != load.Count {
		t.Errorf("%d of %d requests were answered 200; the first failure: %+v", ok, load.Count, got.Failed())
	}
	if up.Count() != load.Count {
		t.Errorf("the upstream saw %d requests, want %d", up.Count(), load.Count)
	}
	harness.Eventually(t, 5*time.Second, "the broken file in the log with path, value and line", func() bool {
		return g.Logged(`"level":"error"`, "routes[1].rate_limit.rps: must be at least 1, got -1 (line 9)", g.File)
	})
	m := g.Metrics()
	if m.Sum("gateway_config_refused_total") != 1 || m.Sum("gateway_config_last_reload_success") != 1 {
		t.Errorf("got %v refused and last reload success %v, want 1 and 1",
			m.Sum("gateway_config_refused_total"), m.Sum("gateway_config_last_reload_success"))
	}
}
