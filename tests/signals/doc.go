// Package signals holds tests of what operators see of a running node: metrics,
// traces, alert rules and the dashboard's queries. What needs a real Prometheus
// is in tests/integration.
package signals
