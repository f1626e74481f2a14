package proxy

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the vectors of the package. Series belong to targets and
// endpoints, which resolve them once and delete them when they are forgotten.
type metrics struct {
	requests    *prometheus.CounterVec
	retries     *prometheus.CounterVec
	state       *prometheus.GaugeVec
	transitions *prometheus.CounterVec
	healthy     *prometheus.GaugeVec
	checks      *prometheus.CounterVec
	exhausted   *prometheus.CounterVec
	panics      *prometheus.CounterVec
	announced   prometheus.Counter
	heard       prometheus.Counter
}

func newMetrics(r prometheus.Registerer, muted func() bool) *metrics {
	announcements := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gateway_breaker_announcements_total",
		Help: "Messages about breakers, sent to all other nodes or received, exchanges of full states included.",
	}, []string{"direction"})
	silent := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_breaker_muted",
		Help: "Whether this node keeps its breakers to itself (1), since everything fails here while others report success.",
	}, func() float64 {
		if muted() {
			return 1
		}
		return 0
	})
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_upstream_requests_total",
			Help: "Tries sent to an upstream, by status class or by how they failed.",
		}, []string{"upstream", "outcome"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_upstream_retries_total",
			Help: "Tries after the first.",
		}, []string{"upstream"}),
		state: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gateway_breaker_state",
			Help: "State of an endpoint's breaker: 0 closed, 1 suspect (accused by another node, still used), 2 half open, 3 open.",
		}, []string{"backend"}),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_breaker_transitions_total",
			Help: "Transitions of an endpoint's breaker.",
		}, []string{"backend", "to"}),
		announced: announcements.WithLabelValues("sent"),
		heard:     announcements.WithLabelValues("received"),
	}
	m.healthy = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "gateway_upstream_healthy",
		Help: "Verdict of the health checks on an endpoint: 1 healthy, 0 not. Only where there are checks.",
	}, []string{"backend"})
	m.checks = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gateway_upstream_health_checks_total",
		Help: "Health checks made.",
	}, []string{"upstream", "result"})
	m.exhausted = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gateway_upstream_retry_budget_exhausted_total",
		Help: "Retries that were not made because the upstream's budget was spent.",
	}, []string{"upstream"})
	m.panics = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gateway_upstream_panic_picks_total",
		Help: "Endpoints picked against the health checks, which found none healthy.",
	}, []string{"upstream"})
	if r != nil {
		r.MustRegister(m.requests, m.retries, m.state, m.transitions, m.healthy, m.checks, m.exhausted, m.panics,
			announcements, silent)
	}
	return m
}

// targetMetrics are the series of one upstream, looked up once.
type targetMetrics struct {
	classes  [6]prometheus.Counter // by status / 100
	failures [outcomeCount]prometheus.Counter
	retries  prometheus.Counter
	// checks are those that found the endpoint ill, and those that did not.
	checks    [2]prometheus.Counter
	exhausted prometheus.Counter
	panics    prometheus.Counter
}

func (m *metrics) target(name string) *targetMetrics {
	t := &targetMetrics{
		retries:   m.retries.WithLabelValues(name),
		checks:    [2]prometheus.Counter{m.checks.WithLabelValues(name, "failed"), m.checks.WithLabelValues(name, "ok")},
		exhausted: m.exhausted.WithLabelValues(name),
		panics:    m.panics.WithLabelValues(name),
	}
	for i, class := range [...]string{"", "1xx", "2xx", "3xx", "4xx", "5xx"} {
		if i > 1 {
			t.classes[i] = m.requests.WithLabelValues(name, class)
		}
	}
	for o := answered + 1; o < outcomeCount; o++ {
		t.failures[o] = m.requests.WithLabelValues(name, o.String())
	}
	return t
}

func (t *targetMetrics) count(r tripResult) {
	if r.outcome != answered {
		t.failures[r.outcome].Inc()
		return
	}
	if class := r.status / 100; 2 <= class && class <= 5 {
		t.classes[class].Inc()
	}
}

func (t *targetMetrics) check(ok bool) {
	if ok {
		t.checks[1].Inc()
		return
	}
	t.checks[0].Inc()
}

func (m *metrics) forgetTarget(name string) {
	m.requests.DeletePartialMatch(prometheus.Labels{"upstream": name})
	m.checks.DeletePartialMatch(prometheus.Labels{"upstream": name})
	for _, v := range []*prometheus.CounterVec{m.retries, m.exhausted, m.panics} {
		v.DeleteLabelValues(name)
	}
}

func (m *metrics) forgetBackend(name string) {
	m.state.DeleteLabelValues(name)
	m.healthy.DeleteLabelValues(name)
	m.transitions.DeletePartialMatch(prometheus.Labels{"backend": name})
}
