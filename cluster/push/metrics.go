package push

import "github.com/prometheus/client_golang/prometheus"

type metrics struct{ outcomes *prometheus.CounterVec }

func newMetrics() *metrics {
	m := &metrics{outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gateway_config_pushes_total",
		Help: "Configurations pushed to the cluster through this node, by outcome.",
	}, []string{"outcome"})}
	for _, outcome := range []Result{Committed, Refused, Partial} {
		m.outcomes.WithLabelValues(string(outcome))
	}
	return m
}

func (m *metrics) register(reg prometheus.Registerer) error {
	if reg == nil {
		return nil
	}
	return reg.Register(m.outcomes)
}
