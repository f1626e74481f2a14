package integration

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// during runs a load and the scenario beside it.
func during(ctx context.Context, load harness.Load, scenario func()) harness.Outcomes {
	var got harness.Outcomes
	var running sync.WaitGroup
	running.Go(func() { got = load.Run(ctx) })
	scenario()
	running.Wait()
	return got
}

func checkNoneFailed(t *testing.T, got harness.Outcomes) {
	t.Helper()
	if failed := got.Failed(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed, the first: %+v", len(failed), len(got), failed[0])
	}
}

// Two nodes lose Redis for a few of twelve seconds: nobody gets an error, what is
// admitted stays near the limit, and Redis is used again by itself.
func TestRedisKilledUnderLoad(t *testing.T) {
	const rate, burst = 50, 50
	redis, up := newRedis(t), newUpstream(t)
	nodes := gateway.StartCluster(t, 2, limited(redis, up))
	waitForRedis(t, nodes...)

	stopNoise := measureNoise(t, budget)
	load := harness.Load{URLs: urls("/limited/x", nodes), Count: 2400, Rate: 200}
	got := during(t.Context(), load, func() {
		harness.Eventually(t, 10*time.Second, "admitted requests", func() bool { return up.Count() > 2*burst })
		redis.Kill()
		for _, g := range nodes {
			harness.Eventually(t, 5*time.Second, "degraded "+g.Addr, func() bool {
				return g.Ready() == harness.Ready{Status: "degraded", Limits: "local"}
			})
		}
		lost, since := up.Count(), time.Now()
		harness.Eventually(t, 5*time.Second, "3 seconds' worth of requests without Redis", func() bool { return up.Count() >= lost+3*rate })
		if most := burst + rate*time.Since(since).Seconds(); float64(up.Count()-lost) > most+1 {
			t.Errorf("without Redis %d requests were admitted in %s, want at most %.0f", up.Count()-lost, time.Since(since), most)
		}
		redis.Start()
		waitForRedis(t, nodes...)
	})

	checkNoneFailed(t, got)
	checkOutage(t, nodes, float64(up.Count()), burst, rate*got.Span().Seconds())
	noise := stopNoise()
	for _, g := range nodes {
		checkBudget(t, g, noise)
		harness.Eventually(t, 5*time.Second, g.Addr+" logs that Redis was lost and came back", func() bool {
			return g.Logged("limiter: redis lost") && g.Logged("limiter: redis back")
		})
	}
}

// checkOutage bounds what was admitted: a Redis that comes back has forgotten
// who spent what, and each node that returns to a bucket in Redis finds there
// what others did not charge meanwhile. Both cost a burst at most.
func checkOutage(t *testing.T, nodes []*harness.Gateway, admitted, burst, refilled float64) {
	t.Helper()
	var returns float64
	for _, g := range nodes {
		returns += g.Metrics().Sum("gateway_limiter_mode_switches_total", `to="redis"`)
	}
	due := burst + refilled
	t.Logf("admitted %.0f, due %.0f, %v returns to Redis", admitted, due, returns)
	if most := 1.05*due + burst*(1+returns); admitted > most || admitted < 0.7*due || returns == 0 {
		t.Errorf("admitted %.0f with %v returns to Redis, want %.0f to %.0f", admitted, returns, 0.7*due, most)
	}
}

const (
	budget = 10 * time.Millisecond // of a check, by default
	spare  = 2 * time.Millisecond  // for the scheduler
)

// measureNoise measures the machine itself while a test runs: how large a part of
// plain waits of one budget ends more than the spare time late. What it starts
// ends with the function it returns.
func measureNoise(t *testing.T, budget time.Duration) func() float64 {
	ctx, stop := context.WithCancel(t.Context())
	var all, late float64
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for ctx.Err() == nil {
			start := time.Now()
			<-time.After(budget)
			if all++; time.Since(start) > budget+spare {
				late++
			}
		}
	})
	return func() float64 {
		stop()
		waiting.Wait()
		return late / all
	}
}

// checkBudget reads the limiter's own p99.9 from its histogram: of all checks at
// most one in a thousand may lie above the bound at 12 ms, which is budget and
// spare time. On a machine that is late by itself, as many more may be late as
// plain waits are, twice over: a check passes the scheduler on its way to Redis
// and back.
func checkBudget(t *testing.T, g *harness.Gateway, noise float64) {
	t.Helper()
	above, all := g.Metrics().Above("gateway_limiter_check_seconds", "0.012")
	most := max(1, all*(0.001+2*noise))
	t.Logf("%s: %v of %v checks took more than 12 ms; the machine is late in %.2f %% of plain waits", g.Addr, above, all, 100*noise)
	if all < 1000 || above > most {
		t.Errorf("%s: %v of %v checks took more than 12 ms, want at least 1,000 checks and at most %.1f so late", g.Addr, above, all, most)
	}
}

// A Redis that hangs is worse than none: connections stand and nothing comes
// back.
func TestRedisPausedUnderLoad(t *testing.T) {
	const rate, burst = 50, 50
	redis, up := newRedis(t), newUpstream(t)
	g := gateway.Start(t, limited(redis, up).YAML())
	waitForRedis(t, g)

	load := harness.Load{URLs: []string{g.URL("/limited/x")}, Count: 800, Rate: 100}
	got := during(t.Context(), load, func() {
		harness.Eventually(t, 10*time.Second, "admitted requests", func() bool { return up.Count() > 60 })
		redis.Pause()
		defer redis.Unpause()
		harness.Eventually(t, 5*time.Second, "degraded", func() bool { return g.Ready().Status == "degraded" })
		paused := up.Count()
		harness.Eventually(t, 5*time.Second, "admitted requests without Redis", func() bool { return up.Count() > paused+100 })
	})

	checkNoneFailed(t, got)
	if slowest := got.Slowest(); slowest.Took > time.Second {
		t.Errorf("the slowest request took %s, want less than a second", slowest.Took)
	}
	waitForRedis(t, g)
	checkOutage(t, []*harness.Gateway{g}, float64(up.Count()), burst, rate*got.Span().Seconds())
}
