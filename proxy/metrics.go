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
			Help: "State of an endpoint's breaker: 0 closed, 1 half open, 2 open.",
		}, []string{"backend"}),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_breaker_transitions_total",
			Help: "Transitions of an endpoint's breaker.",
		}, []string{"backend", "to"}),
		announced: announcements.WithLabelValues("sent"),
		heard:     announcements.WithLabelValues("received"),
	}
	if r != nil {
		r.MustRegister(m.requests, m.retries, m.state, m.transitions, announcements, silent)
	}
	return m
}

// targetMetrics are the series of one upstream, looked up once.
type targetMetrics struct {
	classes  [6]prometheus.Counter // by status / 100
	failures [outcomeCount]prometheus.Counter
	retries  prometheus.Counter
}

func (m *metrics) target(name string) *targetMetrics {
	t := &targetMetrics{retries: m.retries.WithLabelValues(name)}
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

func (m *metrics) forgetTarget(name string) {
	m.requests.DeletePartialMatch(prometheus.Labels{"upstream": name})
	m.retries.DeleteLabelValues(name)
}

func (m *metrics) forgetBackend(name string) {
	m.state.DeleteLabelValues(name)
	m.transitions.DeletePartialMatch(prometheus.Labels{"backend": name})
}
