package integration

import (
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"

	"github.com/go-api-gateway-pro/gateway/limiter"
	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// on is a limiter on the server.
func (s *server) node(t *testing.T, budgetMS int) *node {
	t.Helper()
	c := limiter.DefaultConfig()
	c.Addrs, c.BudgetMS = []string{s.Addr}, budgetMS
	n := newNode(t, c, nil)
	n.settled()
	return n
}

// set changes a setting of the server for the rest of the test.
func (s *server) set(t *testing.T, name, value string) {
	t.Helper()
	if err := s.Client.ConfigSet(t.Context(), name, value).Err(); err != nil {
		t.Fatalf("cannot set %s to %s: %v", name, value, err)
	}
}

func TestLimiterOnRedis(t *testing.T) {
	redis := newRedis(t)
	f := func(name string, test func(t *testing.T, redis *server)) {
		t.Run(name, func(t *testing.T) { test(t, redis) })
	}
	f("the script equals the model", scriptEqualsModel)
	f("redis_rate sees the same", redisRateSeesTheSame)
	f("a pause charges nobody twice", pauseChargesOnce)
	f("buckets are flushed", bucketsAreFlushed)
	f("memory is full", memoryIsFull)
	f("buckets may be evicted", bucketsMayBeEvicted)
}

func redisRateSeesTheSame(t *testing.T, redis *server) {
	n := redis.node(t, patientBudget)
	b := limiter.Bucket{Limit: slow("shared", 100), Key: "ann", Cost: 3}
	n.admit(10, b)
	if got := left(t, redis.Client, b); got != 70 {
		t.Errorf("they see %d left, want 70", got)
	}
	theirs, limit := redis_rate.NewLimiter(redis.Client), redis_rate.Limit{Rate: 1, Burst: 100, Period: 10 * time.Minute}
	if got, err := theirs.AllowN(t.Context(), bucketKey(b), limit, 30); err != nil || got.Allowed != 30 {
		t.Errorf("they got %+v, %v; want 30 of 70", got, err)
	}
	if d := n.Check(t.Context(), []limiter.Bucket{b}); !d.Allowed || d.Remaining != 37 {
		t.Errorf("after they took 30 we see %+v, want 37 left", d)
	}
	if got := n.admit(20, b); got != 12 {
		t.Errorf("admitted %d for 3 tokens each of 37, want 12", got)
	}
	if got, err := theirs.AllowN(t.Context(), bucketKey(b), limit, 2); err != nil || got.Allowed != 0 {
		t.Errorf("with one token left they got %+v, %v; want nothing", got, err)
	}
}

// Redis takes commands and does not answer for a while, then does all it was
// sent. What was late is charged once; what was decided here meanwhile is
// settled.
func pauseChargesOnce(t *testing.T, redis *server) {
	const burst = 20_000
	n := redis.node(t, 50)
	b := limiter.Bucket{Limit: slow("paused", burst), Key: "ann"}
	got := load(t, 5*time.Millisecond, []*node{n}, b)
	harness.Eventually(t, 10*time.Second, "requests by Redis", func() bool { return got.passed.Load() > 50 })
	redis.Pause()
	harness.Eventually(t, 10*time.Second, "decisions without Redis", func() bool { return got.local.Load() > 100 })
	redis.Unpause()
	n.waitForMode(limiter.ModeRedis)
	got.stop()
	n.settled()
	// The rest of a token is forgiven, and a late check may not have been sent.
	passed, forgiven := int(got.passed.Load()), 1+int(n.metric("gateway_limiter_redis_calls_total", `outcome="timeout"`))
	charged := burst - left(t, redis.Client, b)
	t.Logf("%d admitted, %d of them locally, %d charged", passed, got.local.Load(), charged)
	if charged > passed || charged < passed-forgiven || passed != int(got.checks.Load()) {
		t.Errorf("%d charged for %d of %d requests, want at most %d less", charged, passed, got.checks.Load(), forgiven)
	}
}

// A Redis that lost its buckets starts them full. It costs one burst.
func bucketsAreFlushed(t *testing.T, redis *server) {
	const rate, burst = 100, 200
	n := redis.node(t, patientBudget)
	b := limiter.Bucket{Limit: perSecond("flushed", rate, burst), Key: "ann"}
	start := time.Now()
	passed := n.admit(2*burst, b)
	if err := redis.Client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 5*time.Second, "an end of the denial", func() bool { return n.admit(1, b) == 1 })
	passed += 1 + n.admit(2*burst, b)
	if due := float64(2*burst) + rate*time.Since(start).Seconds(); float64(passed) > due || passed < 2*burst-1 {
		t.Errorf("admitted %d, want %d to %.0f", passed, 2*burst-1, due)
	}
	if n.Mode() != limiter.ModeRedis || n.metric("gateway_limiter_redis_calls_total", `outcome="error"`) != 0 {
		t.Error("Redis was lost")
	}
}

// A Redis that takes no writes is no Redis: the node decides by itself within the
// budget, and returns when there is room.
func memoryIsFull(t *testing.T, redis *server) {
	const burst, budget = 20_000, 50 * time.Millisecond
	n := redis.node(t, int(budget/time.Millisecond))
	b := limiter.Bucket{Limit: slow("full", burst), Key: "ann"}
	stopNoise := measureNoise(t, budget)
	got := load(t, 5*time.Millisecond, []*node{n}, b)
	redis.set(t, "maxmemory", "1")
	defer redis.set(t, "maxmemory", "0")
	harness.Eventually(t, 10*time.Second, "decisions without Redis", func() bool { return got.local.Load() > 100 })
	if n.Mode() != limiter.ModeLocal {
		t.Error("the node trusts a Redis that takes no writes")
	}
	redis.set(t, "maxmemory", "0")
	n.waitForMode(limiter.ModeRedis)
	got.stop()
	got.checkBudget(t, budget, stopNoise())
	if got.passed.Load() != got.checks.Load() {
		t.Errorf("admitted %d of %d, want all: there are more tokens", got.passed.Load(), got.checks.Load())
	}
}

// A Redis that throws away what was not used lately forgets buckets: that is
// said, once.
func bucketsMayBeEvicted(t *testing.T, redis *server) {
	const warning = "limiter: redis may evict buckets"
	if n := redis.node(t, patientBudget); n.log.count(warning) != 0 {
		t.Errorf("a Redis without a limit on its memory is warned of:\n%s", &n.log)
	}
	redis.set(t, "maxmemory", "100mb")
	redis.set(t, "maxmemory-policy", "allkeys-lru")
	n := redis.node(t, 50)
	harness.Eventually(t, 5*time.Second, "a warning", func() bool { return n.log.count(warning) > 0 })
	redis.Pause()
	n.admit(10, limiter.Bucket{Limit: slow("evicted", 100), Key: "ann"})
	n.waitForMode(limiter.ModeLocal)
	redis.Unpause()
	n.waitForMode(limiter.ModeRedis)
	if got := n.log.count(warning); got != 1 {
		t.Errorf("warned %d times, want once:\n%s", got, &n.log)
	}
}
