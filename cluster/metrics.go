package cluster

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics exist before the sockets do, since messages may arrive at once, and
// are registered last, when everything a scrape reads is there.
type metrics struct {
	sent, received prometheus.Counter // children of messages
	messages       *prometheus.CounterVec
	refused        *prometheus.CounterVec
	dropped        prometheus.Counter
	joinFailures   prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_cluster_messages_total",
			Help: "Messages about shared state, one for each member sent to or heard.",
		}, []string{"direction"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_cluster_refused_total",
			Help: "What came and was refused: under another key or label, malformed or oversized state, oversized messages, connections beyond the limit.",
		}, []string{"reason"}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gateway_cluster_dropped_total",
			Help: "Messages lost to a full queue or a failed send, repaired by the next exchange.",
		}),
		joinFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gateway_cluster_join_failures_total",
			Help: "Join addresses that could not be looked up or contacted.",
		}),
	}
	m.sent = m.messages.WithLabelValues("out")
	m.received = m.messages.WithLabelValues("in")
	for _, reason := range []string{refusedKey, refusedLabel, refusedState, refusedSize, refusedBusy} {
		m.refused.WithLabelValues(reason)
	}
	return m
}

// register leaves nothing behind if one of the names is taken.
func (m *metrics) register(reg prometheus.Registerer, p *Peer) error {
	if reg == nil {
		return nil
	}
	members := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_cluster_members",
		Help: "Live members of the cluster, this node included.",
	}, func() float64 { return float64(p.Size()) })
	health := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_cluster_health_score",
		Help: "How late this node is in the gossip protocol: 0 is healthy.",
	}, func() float64 { return float64(p.HealthScore()) })

	var done []prometheus.Collector
	var errs []error
	for _, c := range []prometheus.Collector{members, health, m.messages, m.refused, m.dropped, m.joinFailures} {
		if err := reg.Register(c); err != nil {
			errs = append(errs, fmt.Errorf("cannot register cluster metrics: %w", err))
			continue
		}
		done = append(done, c)
	}
	if len(errs) > 0 {
		for _, c := range done {
			reg.Unregister(c)
		}
	}
	return errors.Join(errs...)
}
