package proxy

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A request is sent again only if its method is listed, after an answer whose
// status is, or after none at all.
func TestRetryLists(t *testing.T) {
	f := func(what, method string, methods []string, statuses []int, answers []string, wantSent int) {
		t.Helper()
		up := newBackend(t, func(n int, _ string) string { return answers[min(n, len(answers))-1] })
		u := newTestBackends(t, Options{}).Upstream(configFor(up.url, attempts(3), func(c *UpstreamConfig) {
			c.Retry.Methods, c.Retry.Statuses = methods, statuses
		}))
		x := newExchange(t, request(method, "/", "Content-Length: 0"))
		_, err := u.Forward(t.Context(), x)
		if got := len(up.received()); got != wantSent {
			t.Errorf("%s: sent %d times, want %d (%v)", what, got, wantSent, err)
		}
	}
	get, post, unavailable := []string{"GET"}, []string{"POST"}, []int{503}
	f("a listed POST after its status", "POST", post, unavailable, []string{status(503), ok}, 2)
	f("a listed POST after a reset", "POST", post, unavailable, []string{"", ok}, 2)
	f("a POST that is not listed, status", "POST", get, unavailable, []string{status(503), ok}, 1)
	f("a POST that is not listed, reset", "POST", get, unavailable, []string{"", ok}, 1)
	f("a PUT that is not listed", "PUT", get, unavailable, []string{"", ok}, 1)
	f("no methods", "GET", []string{}, unavailable, []string{"", ok}, 1)
	f("a status that is not listed", "GET", get, unavailable, []string{status(502), ok}, 1)
	f("another status that is", "GET", get, []int{429}, []string{status(429), ok}, 2)
	f("no statuses", "GET", get, []int{}, []string{status(503), ok}, 1)
}

func TestRetryAfterIsHonoured(t *testing.T) {
	later := func(value string) string {
		return "HTTP/1.1 503 X\r\nContent-Length: 0\r\nRetry-After: " + value + "\r\n\r\n"
	}
	f := func(value string, timeoutMS, wantTries int, wantWait time.Duration) {
		t.Helper()
		up := newBackend(t, func(n int, _ string) string {
			if n == 1 {
				return later(value)
			}
			return ok
		})
		u := newTestBackends(t, Options{Rand: func() float64 { return 0 }}).Upstream(configFor(up.url, attempts(1),
			func(c *UpstreamConfig) { c.TimeoutMS = timeoutMS }))
		start := time.Now()
		res := forward(t, u, newExchange(t, get("/")))
		if took := time.Since(start); res.Tries != wantTries || took < wantWait {
			t.Errorf("Retry-After %s: %d tries in %v, want %d after %v", value, res.Tries, took, wantTries, wantWait)
		}
	}
	f("1", 5000, 2, time.Second)
	f("9", 5000, 1, 0) // past the deadline: the answer at hand is given
	f("nonsense", 5000, 2, 0)
	f("-1", 5000, 2, 0)
	f("99999999999999999999", 5000, 2, 0)
}

func TestRetryAfterForms(t *testing.T) {
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	f := func(value string, want time.Duration) {
		t.Helper()
		x := newExchange(t, get("/"))
		x.Response.Header.Set("Retry-After", value)
		if got := retryAfter(&x.Response.Header, now); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
	f("", 0)
	f("120", 2*time.Minute)
	f(now.Add(time.Minute).Format(http.TimeFormat), time.Minute)
	f(now.Add(-time.Minute).Format(http.TimeFormat), 0)
	f("2147483648", 0)
}

func TestRetryAfterDoesNotKeepFromAnother(t *testing.T) {
	busy := newBackend(t, always("HTTP/1.1 503 X\r\nContent-Length: 0\r\nRetry-After: 60\r\n\r\n"))
	good := newBackend(t, always(ok))
	u := twoEndpoints(t, busy.addr, good.addr, Options{}).Upstream(configFor("http://users", attempts(1), balance("round_robin")))
	within(t, 4*time.Second, func() {
		for range 4 {
			x := newExchange(t, get("/"))
			if forward(t, u, x); x.Response.StatusCode() != 200 {
				t.Errorf("got %d", x.Response.StatusCode())
			}
		}
	})
}

// An upstream that fails for everybody sees a fifth more requests, not twice as
// many.
func TestRetryBudget(t *testing.T) {
	reg := prometheus.NewRegistry()
	up := newBackend(t, always(status(503)))
	c := &clock{now: time.Unix(1000, 0)}
	b := newTestBackends(t, Options{Registerer: reg, Now: c.read})
	config := configFor(up.url, attempts(3), func(c *UpstreamConfig) {
		c.Retry.BackoffMS, c.Breaker.Failures = 0, 1000
	})
	// Two routes share what the upstream can bear.
	one, two := b.Upstream(config), b.Upstream(config)
	for range 100 {
		forward(t, one, newExchange(t, get("/")))
		forward(t, two, newExchange(t, get("/")))
	}
	if got := len(up.received()); got != 200+10+39 {
		t.Errorf("the upstream got %d requests for 200, want 249: a reserve of ten and a fifth of all but the first, which found it full", got)
	}
	if got := metric(t, reg, "gateway_upstream_retry_budget_exhausted_total"); got < 150 {
		t.Errorf("%v times exhausted", got)
	}
}

// A silent endpoint gets half of the time while another could take over, and all
// of it when it is alone.
func TestDeadlineIsSplitOverTries(t *testing.T) {
	f := func(what string, tries int, wantSent time.Duration, change ...func(*UpstreamConfig)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			w := newWard(wardA, wardB)
			b, u := checkedBackends(w, nil)
			defer end(b)
			w.set(wardA, -1)
			config := u.config
			config.HealthCheck, config.TimeoutMS, config.Retry.Attempts = nil, 1000, 1
			for _, c := range change {
				c(&config)
			}
			start := time.Now()
			x := newExchange(t, get("/"))
			res, err := b.Upstream(config).Forward(t.Context(), x)
			if res.Tries != tries || time.Since(start) != wantSent || tries > 1 == (err != nil) || err != nil && !errors.Is(err, ErrTimeout) {
				t.Errorf("%s: got %+v, %v after %v, want %d tries after %v", what, res, err, time.Since(start), tries, wantSent)
			}
		})
	}
	backoff := time.Millisecond / 2
	f("two endpoints", 2, 500*time.Millisecond+backoff)
	f("a time of its own", 2, 100*time.Millisecond+backoff, func(c *UpstreamConfig) { c.Retry.TryTimeoutMS = 100 })
	f("no tries left", 1, time.Second, func(c *UpstreamConfig) { c.Retry.Attempts = 0 })
	f("not to be repeated", 1, time.Second, func(c *UpstreamConfig) { c.Retry.Methods = nil })
	f("one endpoint", 1, time.Second, func(c *UpstreamConfig) { c.URL = "http://192.0.2.1" })
}
