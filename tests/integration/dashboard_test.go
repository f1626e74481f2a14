package integration

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// observed is a cluster of which every panel has something to show.
func observed(redis *server, up upstream) harness.Config {
	return harness.Config{Redis: redis.Addr, Budget: patientBudget, Global: "rps: 5000", Otel: "127.0.0.1:1", Routes: []string{
		fmt.Sprintf(`path: "/limited/*", upstream: %q, rate_limit: {rps: 20, burst: 20, key_by: ip}`, up.URL),
		fmt.Sprintf(`path: "/flaky/*", upstream: %q, retry: {attempts: 1, backoff_ms: 1}, breaker: {failures: 1000}`, up.URL),
		fmt.Sprintf(`path: "/checked", upstream: %q, health_check: {path: "/health", interval_ms: 1000, timeout_ms: 500}`,
			strings.Replace(up.URL, "127.0.0.1", "localhost", 1)),
		`path: "/dead", upstream: "http://127.0.0.1:1", breaker: {failures: 2, open_ms: 1000}`,
	}}
}

// Every panel's query returns data from a real Prometheus that watches a real
// cluster whose Redis and upstreams fail now and then.
func TestEveryPanelShowsSomething(t *testing.T) {
	redis, up := newRedis(t), newUpstream(t)
	nodes := gateway.StartCluster(t, 3, observed(redis, up))
	waitForRedis(t, nodes...)
	m := newMonitor(t, nodes)

	ctx, stop := context.WithCancel(t.Context())
	var paths []string
	for _, path := range []string{"/limited/x", "/flaky/x?status=503", "/checked", "/dead"} {
		paths = append(paths, urls(path, nodes)...)
	}
	done := make(chan harness.Outcomes)
	go func() { done <- harness.Load{URLs: paths, Count: 60 * 60, Rate: 60}.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	harness.Eventually(t, 20*time.Second, "decisions of Redis in the metrics", func() bool {
		return slices.Max(append(m.query(`sum(rate(gateway_limiter_decisions_total{source="redis"}[10s]))`), 0)) > 0
	})
	m.checkMetrics(nodes[0])
	redis.Kill()

	panels, _ := harness.Dashboard(t, "../../deploy/grafana/dashboards/gateway.json")
	if len(panels) < 30 {
		t.Fatalf("only %d panels found", len(panels))
	}
	empty := map[string]bool{}
	for _, p := range panels {
		for i, query := range p.Queries {
			empty[fmt.Sprintf("%s, query %d: %s", p.Title, i+1, withoutVariables(query))] = true
		}
	}
	for deadline := time.Now().Add(40 * time.Second); len(empty) > 0 && time.Now().Before(deadline); time.Sleep(time.Second) {
		for who := range empty {
			if _, query, _ := strings.Cut(who, ": "); len(m.query(query)) > 0 {
				delete(empty, who)
			}
		}
	}
	for _, who := range slices.Sorted(maps.Keys(empty)) {
		t.Errorf("no data for %s", who)
	}
	// What the faults must have left on it.
	for _, shown := range []string{
		`gateway_limiter_mode{mode="local"} == 1`, `max(gateway_breaker_state) >= 2`,
		`max(rate(gateway_limiter_decisions_total{source="local"}[10s])) > 0`, `max(rate(gateway_upstream_retries_total[30s])) > 0`,
		`max(rate(gateway_trace_spans_dropped_total[30s])) > 0`, `ALERTS{alertname="GatewayRedisLost"}`, `route:http_requests:rate1m > 0`,
	} {
		harness.Eventually(t, 15*time.Second, shown, func() bool { return len(m.query(shown)) > 0 })
	}
	if !m.hasExemplars("http_request_duration_seconds_bucket") {
		t.Error("no exemplar of a latency")
	}
	if broken, all := m.brokenRules(); len(broken) > 0 || all < 15 {
		t.Errorf("of %d rules: %q", all, broken)
	}
}

// withoutVariables fills in what Grafana would.
func withoutVariables(query string) string {
	return strings.NewReplacer("$__rate_interval", "10s", "$__interval", "5s", "$instance", ".*", "$route", ".*").Replace(query)
}
