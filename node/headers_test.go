package node

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/dunglas/httpsfv"
	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/limiter"
)

// What clients are told is well formed (RFC 9651) and agrees with itself.
func TestLimitHeadersAreStructuredFields(t *testing.T) {
	f := func(d limiter.Decision, quota, window, left, reset int64, retry string) {
		t.Helper()
		var h fasthttp.ResponseHeader
		setLimitHeaders(&h, &d)
		policy, state := params(t, h.Peek("RateLimit-Policy")), params(t, h.Peek("RateLimit"))
		for _, p := range []struct {
			from *httpsfv.Params
			name string
			want int64
		}{{policy, "q", quota}, {policy, "w", window}, {state, "r", left}, {state, "t", reset}} {
			if got, _ := p.from.Get(p.name); got != p.want {
				t.Errorf("%+v: %s is %v, want %d", d, p.name, got, p.want)
			}
		}
		if got := string(h.Peek("Retry-After")); got != retry {
			t.Errorf("%+v: Retry-After is %q, want %q", d, got, retry)
		}
		for name, want := range map[string]int64{"X-RateLimit-Limit": quota, "X-RateLimit-Remaining": left, "X-RateLimit-Reset": reset} {
			if got := string(h.Peek(name)); got != strconv.FormatInt(want, 10) {
				t.Errorf("%+v: %s is %q, want %d", d, name, got, want)
			}
		}
	}
	limit := &limiter.Limit{ID: "r", Scope: limiter.ScopeUser, Rate: 100, Burst: 150, Period: time.Second}
	hourly := &limiter.Limit{ID: "h", Scope: limiter.ScopeHeader, Rate: 5000, Burst: 500, Period: time.Hour}
	ms := time.Millisecond
	f(limiter.Decision{Allowed: true, Limit: limit, Source: limiter.SourceLease, Remaining: 149, ResetAfter: 10 * ms}, 150, 2, 149, 1, "")
	f(limiter.Decision{Allowed: true, Limit: limit, Source: limiter.SourceRedis, Remaining: 0, ResetAfter: 1500 * ms}, 150, 2, 0, 1, "")
	f(limiter.Decision{Limit: limit, Source: limiter.SourceDeny, RetryAfter: time.Nanosecond, ResetAfter: 1500 * ms}, 150, 2, 0, 1, "1")
	daily := &limiter.Limit{ID: "d", Scope: limiter.ScopeUser, Rate: 1_000_000, Burst: 2_000_000, Period: 24 * time.Hour}
	f(limiter.Decision{Allowed: true, Limit: daily, Source: limiter.SourceRedis, Remaining: 1, ResetAfter: 48 * time.Hour}, 2_000_000, 172_800, 1, 172_800, "")
	f(limiter.Decision{Limit: hourly, Source: limiter.SourceLocal, RetryAfter: 3001 * ms, ResetAfter: 6 * time.Minute}, 500, 360, 0, 4, "4")
}

// What the gateway says itself an upstream cannot say as well, however often. What it
// does not say passes.
func TestUpstreamDoesNotSpeakForTheGateway(t *testing.T) {
	n := start(t, twoRoutes)
	names := []string{"X-Request-Id", "Ratelimit", "Ratelimit-Policy", "X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset"}
	n.with(func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range names {
			w.Header()[name] = []string{"one", "two", "three"}
		}
	})
	limited := n.do("GET", "/users/1", token(t, nil, 0)).Header
	for _, name := range names {
		if got := limited[name]; len(got) != 1 || got[0] == "one" {
			t.Errorf("%s is %q, want the gateway's own alone", name, got)
		}
	}
	free := n.do("GET", "/open/x").Header
	if got := free["Ratelimit"]; len(got) != 3 {
		t.Errorf("without a limit of ours RateLimit is %q, want the upstream's", got)
	}
}

// params are those of the one item of a list header.
func params(t *testing.T, value []byte) *httpsfv.Params {
	t.Helper()
	list, err := httpsfv.UnmarshalList([]string{string(value)})
	if err != nil || len(list) != 1 {
		t.Fatalf("%q is no list of one item: %v", value, err)
	}
	item, ok := list[0].(httpsfv.Item)
	if _, text := item.Value.(string); !ok || !text {
		t.Fatalf("%q does not name its policy", value)
	}
	return item.Params
}
