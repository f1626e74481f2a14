package limiter

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The scopes once more, as places in a table.
const (
	scopeGlobal = iota
	scopeUser
	scopeIP
	scopeHeader
	scopeClaim
	scopeCount
)

const (
	resultAllowed = iota
	resultDenied
	resultShadow // a shadow would have denied
	resultCount
)

func scopeIndex(scope string) int {
	switch scope {
	case ScopeGlobal:
		return scopeGlobal
	case ScopeUser:
		return scopeUser
	case ScopeHeader:
		return scopeHeader
	case ScopeClaim:
		return scopeClaim
	default:
		return scopeIP
	}
}

// metrics are all resolved once: the request path looks nothing up.
type metrics struct {
	decisions [scopeCount][resultCount][sourceCount]prometheus.Counter
	seconds   [sourceCount]prometheus.Observer
	callOK    prometheus.Counter
	callLate  prometheus.Counter
	callError prometheus.Counter
	writes    prometheus.Counter
	toLocal   prometheus.Counter
	toRedis   prometheus.Counter
	settled   prometheus.Counter

	leaseGranted  prometheus.Counter
	leaseUsed     prometheus.Counter
	leaseReturned prometheus.Counter
	leaseExpired  prometheus.Counter

	collectors []prometheus.Collector // all of the above, to be registered
}

func newMetrics() *metrics {
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gateway_limiter_decisions_total",
		Help: "Buckets charged (allowed), that denied a request, or would have (shadow_denied).",
	}, []string{"scope", "result", "source"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "gateway_limiter_check_seconds",
		Help:    "Time a check added to its request.",
		Buckets: []float64{2e-6, 1e-5, 5e-5, 2e-4, 5e-4, .001, .002, .005, .01, .012, .02, .05},
	}, []string{"source"})
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gateway_limiter_redis_calls_total",
		Help: "Scripts sent to Redis.",
	}, []string{"outcome"})
	switches := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gateway_limiter_mode_switches_total",
		Help: "Switches between limiting by Redis and limiting locally.",
	}, []string{"to"})
	leases := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gateway_limiter_lease_tokens_total",
		Help: "Tokens drawn ahead from Redis: granted, used, returned unused, expired unused.",
	}, []string{"event"})
	m := &metrics{
		leaseGranted: leases.WithLabelValues("granted"), leaseUsed: leases.WithLabelValues("used"),
		leaseReturned: leases.WithLabelValues("returned"), leaseExpired: leases.WithLabelValues("expired"),
		settled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gateway_limiter_settled_tokens_total",
			Help: "Tokens admitted without Redis and charged there afterwards.",
		}),
		callOK: calls.WithLabelValues("ok"), callLate: calls.WithLabelValues("timeout"),
		callError: calls.WithLabelValues("error"),
		toLocal:   switches.WithLabelValues("local"), toRedis: switches.WithLabelValues("redis"),
		writes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gateway_limiter_redis_writes_total",
			Help: "Pipelines sent to Redis, each holding the checks of one moment.",
		}),
	}
	m.resolve(decisions, seconds)
	m.collectors = []prometheus.Collector{decisions, seconds, calls, switches, leases, m.writes, m.settled}
	return m
}

func (m *metrics) resolve(decisions *prometheus.CounterVec, seconds *prometheus.HistogramVec) {
	for source := range sourceCount {
		name := Source(source).String()
		m.seconds[source] = seconds.WithLabelValues(name)
		if Source(source) == SourceNone {
			continue // without a bucket there is nothing to count
		}
		for scope, scopeName := range []string{ScopeGlobal, ScopeUser, ScopeIP, ScopeHeader, ScopeClaim} {
			for result, resultName := range []string{"allowed", "denied", "shadow_denied"} {
				m.decisions[scope][result][source] = decisions.WithLabelValues(scopeName, resultName, name)
			}
		}
	}
}

// gauges read the state of l whenever they are asked.
func (l *Limiter) gauges() []prometheus.Collector {
	gauge := func(name, help string, labels prometheus.Labels, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, f)
	}
	mode := func(name string) prometheus.Collector {
		return gauge("gateway_limiter_mode", "1 for the mode the limiter is in.",
			prometheus.Labels{"mode": name}, func() float64 {
				if l.Mode() == name {
					return 1
				}
				return 0
			})
	}
	pool := func(state string, count func(idle, total uint32) uint32) prometheus.Collector {
		return gauge("gateway_limiter_redis_connections", "Connections to Redis, by whether a call is on them.",
			prometheus.Labels{"state": state}, func() float64 { return float64(count(l.connections())) })
	}
	return []prometheus.Collector{
		pool("in_use", func(idle, total uint32) uint32 { return total - idle }),
		pool("idle", func(idle, _ uint32) uint32 { return idle }),
		gauge("gateway_limiter_breaker_state", "The breaker on Redis: 0 closed, 1 half open, 2 open.", nil,
			func() float64 { return float64(l.breaker.state.Load()) }),
		gauge("gateway_limiter_effective_members", "Members a limit is divided by without Redis.", nil,
			func() float64 { return float64(l.view().members) }),
		gauge("gateway_limiter_away_members", "Other members without Redis, whose share is left to them.", nil,
			func() float64 { return float64(l.view().away) }),
		mode(ModeRedis), mode(ModeLocal),
	}
}

// connections counts those to Redis: in sentinel mode to the master, in cluster
// mode to all its nodes.
func (l *Limiter) connections() (idle, total uint32) {
	if l.remote == nil {
		return 0, 0
	}
	s := l.remote.client.PoolStats()
	return min(s.IdleConns, s.TotalConns), s.TotalConns
}

// register registers all or, if one fails, none.
func register(reg prometheus.Registerer, all []prometheus.Collector) error {
	if reg == nil {
		return nil
	}
	for i, c := range all {
		if err := reg.Register(c); err != nil {
			for _, done := range all[:i] {
				reg.Unregister(done)
			}
			return fmt.Errorf("cannot register metrics: %w", err)
		}
	}
	return nil
}

func (m *metrics) call(err error) {
	switch {
	case err == nil:
		m.callOK.Inc()
	case isTimeout(err):
		m.callLate.Inc()
	default:
		m.callError.Inc()
	}
}

// decided counts the buckets of a, or those that denied.
func (m *metrics) decided(a *ask, took time.Duration) {
	m.seconds[a.source].Observe(took.Seconds())
	for i := range a.items {
		it := &a.items[i]
		scope := &m.decisions[it.rule.scope]
		switch {
		case it.result.Allowed == 0 && it.rule.limit.Shadow:
			scope[resultShadow][a.source].Inc()
		case it.result.Allowed == 0:
			scope[resultDenied][a.source].Inc()
		case a.allowed:
			scope[resultAllowed][a.source].Inc()
		}
	}
}
