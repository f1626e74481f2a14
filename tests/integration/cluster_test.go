package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// limited is one route with an ip limit, 50 a second and 50 at once.
func limited(redis *server, up upstream) harness.Config {
	return harness.Config{Redis: redis.Addr, Routes: []string{
		fmt.Sprintf(`path: "/limited/*", upstream: %q, rate_limit: {rps: 50, burst: 50, key_by: ip}`, up.URL),
	}}
}

func urls(path string, nodes []*harness.Gateway) []string {
	var all []string
	for _, g := range nodes {
		all = append(all, g.URL(path))
	}
	return all
}

func TestOneLimitForTheWholeCluster(t *testing.T) {
	const rate, burst = 50, 50
	redis, up := newRedis(t), newUpstream(t)
	config := limited(redis, up)
	config.Budget = patientBudget
	nodes := gateway.StartCluster(t, 3, config)
	waitForRedis(t, nodes...)

	before := redis.Scripts()
	got := harness.Load{URLs: urls("/limited/x", nodes), Count: 900, Rate: 180}.Run(t.Context())
	scripts := redis.Scripts() - before

	if failed := got.Failed(); len(failed) > 0 {
		t.Fatalf("%d of %d requests failed, the first: %+v", len(failed), len(got), failed[0])
	}
	admitted, due := up.Count(), burst+rate*got.Span().Seconds()
	t.Logf("admitted %d of %d, due %.0f, %d scripts", admitted, len(got), due, scripts)
	if float64(admitted) > due+1 || float64(admitted) < 0.9*due {
		t.Errorf("the upstream saw %d requests in %s, want 90 to 100 %% of %.0f", admitted, got.Span(), due)
	}
	if got.Count(200) != admitted || got.Count(200)+got.Count(429) != len(got) {
		t.Errorf("clients saw %d 200 and %d 429 of %d, the upstream %d", got.Count(200), got.Count(429), len(got), admitted)
	}
	if scripts == 0 || scripts > len(got) {
		t.Errorf("Redis ran %d scripts for %d requests; want some, and at most one each", scripts, len(got))
	}
	for _, g := range nodes {
		m := g.Metrics()
		if n := m.Sum("http_requests_total", `route="/limited/*"`); n != 300 {
			t.Errorf("%s counted %v requests, want 300", g.Addr, n)
		}
		if n := m.Sum("http_requests_total", `route="/limited/*"`, `status="2xx"`); n == 0 {
			t.Errorf("%s admitted nothing", g.Addr)
		}
		if n := m.Sum("gateway_cluster_members"); n != 3 {
			t.Errorf("%s counts %v members, want 3", g.Addr, n)
		}
	}
}

func TestMembersSeeTheSameConfiguration(t *testing.T) {
	redis, up := newRedis(t), newUpstream(t)
	nodes := gateway.StartCluster(t, 3, limited(redis, up))
	for _, g := range nodes {
		hashes := map[string]bool{}
		harness.Eventually(t, 20*time.Second, "a row of every member", func() bool {
			clear(hashes)
			for _, m := range g.Cluster().Members {
				hashes[m.Config.Hash] = true
			}
			return len(hashes) == 1 && !hashes[""]
		})
	}
}
