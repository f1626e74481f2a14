package auth

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are a Keyring's series; its Verifiers count into them too, so that they outlive a reload.
type metrics struct {
	decisions *prometheus.CounterVec
	fetches   *prometheus.CounterVec
	keys      *prometheus.GaugeVec
	renewed   *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_auth_decisions_total", Help: "Requests that were asked who they are, by what they showed and what came of it.",
		}, []string{"credential", "result"}),
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_auth_key_fetches_total", Help: "Attempts to read verification keys; refused ones arrived and were not believed.",
		}, []string{"source", "outcome"}),
		keys: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gateway_auth_keys", Help: "Verification keys in use.",
		}, []string{"source"}),
		renewed: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gateway_auth_keys_renewed_timestamp_seconds", Help: "When verification keys were last read and believed.",
		}, []string{"source"}),
	}
	reg.MustRegister(m.decisions, m.fetches, m.keys, m.renewed)
	return m
}

// sourceMetrics are the series of one source of keys.
type sourceMetrics struct {
	fetched, refused, failed prometheus.Counter
	keys, renewed            prometheus.Gauge
}

func (m metrics) source(name string) sourceMetrics {
	return sourceMetrics{
		fetched: m.fetches.WithLabelValues(name, "ok"),
		refused: m.fetches.WithLabelValues(name, "refused"),
		failed:  m.fetches.WithLabelValues(name, "failed"),
		keys:    m.keys.WithLabelValues(name),
		renewed: m.renewed.WithLabelValues(name),
	}
}

// forget removes the series of a kind of source that is not in use any more.
func (m metrics) forget(kind string) {
	m.fetches.DeletePartialMatch(prometheus.Labels{"source": kind})
	m.keys.DeleteLabelValues(kind)
	m.renewed.DeleteLabelValues(kind)
}

func (m sourceMetrics) ok(keys int) {
	m.fetched.Inc()
	m.keys.Set(float64(keys))
	m.renewed.SetToCurrentTime()
}

// tally counts decisions without looking up a label per request.
type tally [credentialKinds][results]prometheus.Counter

func (m metrics) tally() tally {
	var t tally
	for kind := range credentialKinds {
		for result := range results {
			t[kind][result] = m.decisions.WithLabelValues(kind.String(), result.String())
		}
	}
	return t
}
