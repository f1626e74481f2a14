package limiter

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func TestMetrics(t *testing.T) {
	s := newServer(t)
	reg := prometheus.NewRegistry()
	l := newTest(t, func(o *Options) {
		s.on(o)
		o.Registerer = reg
		o.Size = func() int { return 3 }
	})
	user, ip := perSecond("u", ScopeUser, 1, 2), perSecond("i", ScopeIP, 1, 3)
	admitted(t, l, 4, Bucket{Limit: user}, Bucket{Limit: ip})
	l.breaker.fail(breakerFailures, false, l.elapsed())
	admitted(t, l, 1, Bucket{Limit: ip})

	got := gather(t, reg)
	f := func(name string, want float64) {
		t.Helper()
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (present %v), want %v", name, v, ok, want)
		}
	}
	f(`gateway_limiter_decisions_total{allowed,user,redis}`, 2)
	f(`gateway_limiter_decisions_total{denied,user,redis}`, 1)
	f(`gateway_limiter_decisions_total{denied,user,deny_cache}`, 1)
	f(`gateway_limiter_decisions_total{allowed,ip,redis}`, 2)
	f(`gateway_limiter_decisions_total{denied,ip,redis}`, 0)
	f(`gateway_limiter_decisions_total{denied,ip,local}`, 1) // the mirror owes two of its one
	f(`gateway_limiter_check_seconds{redis}`, 3)
	f(`gateway_limiter_check_seconds{deny_cache}`, 1)
	f(`gateway_limiter_check_seconds{local}`, 1)
	f(`gateway_limiter_redis_calls_total{ok}`, 3)
	f(`gateway_limiter_redis_calls_total{timeout}`, 0)
	f(`gateway_limiter_redis_calls_total{error}`, 0)
	f(`gateway_limiter_breaker_state{}`, 2)
	f(`gateway_limiter_mode{redis}`, 0)
	f(`gateway_limiter_mode{local}`, 1)
	f(`gateway_limiter_effective_members{}`, 3)
	if n := got[`gateway_limiter_redis_connections{idle}`] + got[`gateway_limiter_redis_connections{in_use}`]; n < 1 || n > 2*batchWorkers {
		t.Errorf("%v connections to Redis", n)
	}
	f(`gateway_limiter_mode_switches_total{local}`, 1)
	f(`gateway_limiter_mode_switches_total{redis}`, 0)
}

func gather(t *testing.T, reg prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			values[family.GetName()+labels(m)] = value(m)
		}
	}
	return values
}

func labels(m *dto.Metric) string {
	var parts []string
	for _, pair := range m.GetLabel() {
		parts = append(parts, pair.GetValue())
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.GetCounter().GetValue()
	case m.Gauge != nil:
		return m.GetGauge().GetValue()
	default:
		return float64(m.GetHistogram().GetSampleCount())
	}
}

func TestRegisteringTwiceFails(t *testing.T) {
	reg := prometheus.NewRegistry()
	newTest(t, func(o *Options) { o.Registerer = reg })
	if _, err := New(Options{Config: DefaultConfig(), Registerer: reg}); err == nil {
		t.Error("the same metrics were registered twice")
	}
	if _, err := New(Options{}); err == nil {
		t.Error("an empty config was accepted")
	}
}
