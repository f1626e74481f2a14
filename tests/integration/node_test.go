package integration

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"

	"github.com/go-api-gateway-pro/gateway/tests/echo"
	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// The budget of tests that are not about it: on a busy machine 10 ms are not
// always enough, and then a node's share decides.
const patientBudget = 500

func usersAndPublic(redis *server, up upstream) harness.Config {
	return harness.Config{Redis: redis.Addr, Budget: patientBudget, Routes: []string{
		fmt.Sprintf(`path: "/api/users/*", upstream: %q, strip_prefix: "/api/users", auth_required: true,
     rate_limit: {rps: 1, burst: 3, key_by: user}`, up.URL),
		fmt.Sprintf(`path: "/api/public/*", upstream: %q, methods: [GET], rate_limit: {rps: 1, burst: 5}`, up.URL),
		fmt.Sprintf(`path: "/free/*", upstream: %q`, up.URL),
	}}
}

func waitForRedis(t *testing.T, nodes ...*harness.Gateway) {
	t.Helper()
	for _, g := range nodes {
		harness.Eventually(t, 20*time.Second, "limits by Redis on "+g.Addr, func() bool {
			return g.Ready() == harness.Ready{Status: "ready", Limits: "redis"}
		})
	}
}

func TestUserSees200And401And429(t *testing.T) {
	redis, up := newRedis(t), newUpstream(t)
	g := gateway.Start(t, usersAndPublic(redis, up).YAML())
	waitForRedis(t, g)
	bearer := "Bearer " + gateway.Token(t, g, "ada")

	a := harness.Ask(t, "GET", g.URL("/api/users/7?x=1"), "", "Authorization", bearer, "X-User-ID", "mallory")
	var got echo.Answer
	a.JSON(t, &got)
	if a.Status != 200 || got.URI != "/7?x=1" || fmt.Sprint(got.Headers["X-User-Id"]) != "[ada]" {
		t.Errorf("got status %d, upstream saw %s with user %v; want 200, /7?x=1, [ada]", a.Status, got.URI, got.Headers["X-User-Id"])
	}
	checkHeaders(t, a, map[string]string{
		"X-Request-Id": `^[0-9a-f]{32}$`, "X-Ratelimit-Limit": "^3$", "X-Ratelimit-Remaining": "^2$", "X-Ratelimit-Reset": "^1$",
		"Ratelimit-Policy": `^"user";q=3;w=3$`, "Ratelimit": `^"user";r=2;t=1$`, "Retry-After": "^$",
	})

	a = harness.Ask(t, "GET", g.URL("/api/users/7"), "")
	checkProblem(t, a, 401, "token-missing")
	checkHeaders(t, a, map[string]string{"Www-Authenticate": `^Bearer realm="api-gateway"$`})

	var denied harness.Answer
	for range 5 {
		denied = harness.Ask(t, "GET", g.URL("/api/users/7"), "", "Authorization", bearer)
	}
	checkProblem(t, denied, 429, "rate-limited")
	checkHeaders(t, denied, map[string]string{"Retry-After": "^1$", "X-Ratelimit-Limit": "^3$", "X-Ratelimit-Remaining": "^0$"})
	if got := harness.Ask(t, "GET", g.URL("/api/users/7"), "", "Authorization", "Bearer "+gateway.Token(t, g, "eve")); got.Status != 200 {
		t.Errorf("another user got %d, want 200: each has a bucket", got.Status)
	}
}

// checkHeaders matches headers against patterns.
func checkHeaders(t *testing.T, a harness.Answer, want map[string]string) {
	t.Helper()
	for name, pattern := range want {
		if got := a.Header.Get(name); !regexp.MustCompile(pattern).MatchString(got) {
			t.Errorf("%s: got %q, want %s", name, got, pattern)
		}
	}
}

// checkProblem checks a refusal's whole shape: nothing beside these five keys
// may reach a client.
func checkProblem(t *testing.T, a harness.Answer, status int, code string) {
	t.Helper()
	var p map[string]any
	if err := json.Unmarshal([]byte(a.Body), &p); err != nil {
		t.Errorf("want %d %s as problem+json, got status %d and %q", status, code, a.Status, a.Body)
		return
	}
	id := a.Header.Get("X-Request-Id")
	if a.Status != status || p["code"] != code || p["status"] != float64(status) || p["request_id"] != id || id == "" {
		t.Errorf("got %d, request id %q and %s, want %d with code %s and the same id", a.Status, id, a.Body, status, code)
	}
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("%s: got content type %q, want application/problem+json", code, got)
	}
	if len(p) != 5 {
		t.Errorf("%s: got %s, want the keys type, title, status, code, request_id alone", code, a.Body)
	}
}

func TestRequestIDAndTraceContext(t *testing.T) {
	redis, up := newRedis(t), newUpstream(t)
	g := gateway.Start(t, usersAndPublic(redis, up).YAML())
	const trace = "0af7651916cd43dd8448eb211c80319c"

	a := harness.Ask(t, "GET", g.URL("/free/x"), "", "X-Request-ID", "mine-1", "Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	var got echo.Answer
	a.JSON(t, &got)
	if a.Header.Get("X-Request-Id") != "mine-1" || fmt.Sprint(got.Headers["X-Request-Id"]) != "[mine-1]" {
		t.Errorf("request id: client got %q back, upstream saw %v; want mine-1", a.Header.Get("X-Request-Id"), got.Headers["X-Request-Id"])
	}
	parent := fmt.Sprint(got.Headers["Traceparent"])
	if !regexp.MustCompile(`^\[00-` + trace + `-[0-9a-f]{16}-0[01]\]$`).MatchString(parent) {
		t.Errorf("upstream saw traceparent %s, want one of trace %s", parent, trace)
	}

	a = harness.Ask(t, "GET", g.URL("/free/x"), "", "X-Request-ID", "no spaces")
	a.JSON(t, &got)
	id := a.Header.Get("X-Request-Id")
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) || fmt.Sprint(got.Headers["X-Request-Id"]) != "["+id+"]" {
		t.Errorf("a bad request id: client got %q, upstream saw %v; want the same new one", id, got.Headers["X-Request-Id"])
	}
}

func TestBuiltInEndpoints(t *testing.T) {
	redis, up := newRedis(t), newUpstream(t)
	g := gateway.Start(t, usersAndPublic(redis, up).YAML())
	waitForRedis(t, g)
	harness.Ask(t, "GET", g.URL("/api/public/x"), "")

	f := func(path, contentType, part string) {
		t.Helper()
		a := harness.Ask(t, "GET", g.URL(path), "")
		if a.Status != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), contentType) || !strings.Contains(a.Body, part) {
			t.Errorf("%s: got %d %s %.200s; want 200 %s with %s", path, a.Status, a.Header.Get("Content-Type"), a.Body, contentType, part)
		}
	}
	f("/health", "application/json", `"status":"ok"`)
	f("/ready", "application/json", `"limits":"redis"`)
	f("/metrics", "text/plain", `http_requests_total{method="GET",route="/api/public/*",status="2xx"} 1`)
	f("/docs", "text/html", "swagger")
	f("/openapi.json", "application/json", `"/api/public/`)

	m := g.Metrics()
	for _, name := range []string{
		"http_requests_total", "http_request_duration_seconds_bucket", "http_requests_in_flight",
		"gateway_limiter_decisions_total", "gateway_limiter_check_seconds_bucket", "gateway_limiter_redis_calls_total", "gateway_limiter_mode",
		"gateway_cluster_members", "gateway_cluster_config_versions", "gateway_config_info", "gateway_config_last_reload_success",
		"gateway_weak_secret", "go_goroutines", "process_cpu_seconds_total",
	} {
		if !m.Has(name) {
			t.Errorf("/metrics has no %s", name)
		}
	}
}

// Other programs that limit with redis_rate share the gateway's buckets.
func TestRedisRateSeesTheSameBucket(t *testing.T) {
	redis, up := newRedis(t), newUpstream(t)
	c := usersAndPublic(redis, up)
	c.Routes = append(c.Routes, fmt.Sprintf(`path: "/slow/*", upstream: %q, rate_limit: {rps: 1, burst: 100}`, up.URL))
	g := gateway.Start(t, c.YAML())
	waitForRedis(t, g)
	limiter, rate := redis_rate.NewLimiter(redis.Client), redis_rate.Limit{Rate: 1, Burst: 100, Period: time.Second}
	const key = "gateway:/slow/*|ip:127.0.0.1" // label, limit, client
	remaining := func() int {
		t.Helper()
		res, err := limiter.AllowN(t.Context(), key, rate, 0)
		if err != nil {
			t.Fatal(err)
		}
		return res.Remaining
	}
	if got := remaining(); got != 100 {
		t.Fatalf("before: redis_rate sees %d left, want 100", got)
	}
	start := time.Now()
	for range 40 {
		harness.Ask(t, "GET", g.URL("/slow/x"), "")
	}
	got, refilled := remaining(), int(time.Since(start).Seconds())+1
	if got < 60 || got > 60+refilled {
		t.Errorf("after 40 requests redis_rate sees %d left, want 60 to %d", got, 60+refilled)
	}
	if _, err := limiter.AllowN(t.Context(), key, rate, got); err != nil {
		t.Fatal(err)
	}
	if a := harness.Ask(t, "GET", g.URL("/slow/x"), ""); a.Status != 200 && a.Status != 429 {
		t.Errorf("after redis_rate took the rest: got %d", a.Status)
	} else if a.Header.Get("X-Ratelimit-Remaining") > "1" {
		t.Errorf("after redis_rate took the rest the gateway says %s are left", a.Header.Get("X-Ratelimit-Remaining"))
	}
}

// A client learns nothing of a bucket that is everybody's but when to come back.
func TestGlobalLimitTellsNothing(t *testing.T) {
	redis, up := newRedis(t), newUpstream(t)
	c := usersAndPublic(redis, up)
	c.Global = "rps: 1, burst: 2, key_by: global"
	g := gateway.Start(t, c.YAML())
	waitForRedis(t, g)
	var last harness.Answer
	for range 6 {
		last = harness.Ask(t, "GET", g.URL("/free/x"), "")
	}
	checkProblem(t, last, 429, "rate-limited")
	checkHeaders(t, last, map[string]string{"Retry-After": "^1$", "X-Ratelimit-Limit": "^$", "X-Ratelimit-Remaining": "^$", "Ratelimit": "^$"})
	if n := up.Count(); n < 2 || n > 4 {
		t.Errorf("the upstream saw %d of 6 requests, want 2 and what was refilled", n)
	}
	if a := harness.Ask(t, "GET", g.URL("/health"), ""); a.Status != 200 {
		t.Errorf("/health behind a spent limit: got %d, want 200", a.Status)
	}
}
