package proxy

import "github.com/prometheus/client_golang/prometheus"

// gauges are read from the upstreams in use whenever they are asked for, so they
// need not be forgotten with them.
type gauges struct {
	backends    *Backends
	connections *prometheus.Desc
	budget      *prometheus.Desc
}

func newGauges(b *Backends) *gauges {
	return &gauges{
		backends: b,
		connections: prometheus.NewDesc("gateway_upstream_connections",
			"Connections to an endpoint, by whether a request, a body or a tunnel is on them.", []string{"backend", "state"}, nil),
		budget: prometheus.NewDesc("gateway_upstream_retry_budget",
			"Retries that the upstream can have at once; a full budget is 10.", []string{"upstream"}, nil),
	}
}

// Describe implements [prometheus.Collector].
func (g *gauges) Describe(to chan<- *prometheus.Desc) {
	to <- g.connections
	to <- g.budget
}

// Collect implements [prometheus.Collector]. Two targets may have one name: they
// differ in their certificates only.
func (g *gauges) Collect(to chan<- prometheus.Metric) {
	inUse, idle, budgets := map[string]int{}, map[string]int{}, map[string]float64{}
	for _, t := range g.backends.list() {
		left := float64(t.budget.peek(g.backends.options.Now())) / retryCost
		if known, ok := budgets[t.name]; !ok || left < known {
			budgets[t.name] = left
		}
		for _, e := range *t.list.Load() {
			used := int(e.gate.inside.Load())
			inUse[e.backend] += used
			idle[e.backend] += max(e.client.ConnsCount()-used, 0)
		}
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for name, left := range budgets {
		gauge(g.budget, left, name)
	}
	for backend := range inUse {
		gauge(g.connections, float64(inUse[backend]), backend, "in_use")
		gauge(g.connections, float64(idle[backend]), backend, "idle")
	}
}
