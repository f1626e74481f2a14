package harness

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
)

// Config is a gateway's configuration file; parts left empty have a default.
type Config struct {
	Server string   // further keys of the section, as in "drain_delay_ms: 0"
	Token  string   // of the admin port; none: read-only
	Secret string   // that signs JWTs; none: a strong one
	Redis  string   // address; none: local buckets
	Budget int      // of a check, in ms; 0: the default
	Bind   string   // gossip; none: a cluster of one
	Join   string   // gossip address of another node
	Global string   // the global rate limit's keys
	Otel   string   // address of a trace collector, which gets everything; none: no traces
	Routes []string // each the keys of one
}

// YAML returns the file's text: ports are free ones, the access log is off.
func (c Config) YAML() string {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	add(`server: {host: "127.0.0.1", port: 0, %s}`, c.Server)
	add(`admin: {host: "127.0.0.1", port: 0, token: %q}`, c.Token)
	add(`log: {access: "off"}`)
	add(`jwt: {secret: %q}`, cmp.Or(c.Secret, Secret))
	if c.Redis != "" {
		add(`redis: {addrs: [%q], budget_ms: %d}`, c.Redis, max(c.Budget, 10))
	}
	add(`cluster: {bind: %q, join: [%q], secret_key: "one-key-for-all-nodes"}`, c.Bind, c.Join)
	if c.Otel != "" {
		add(`otel: {endpoint: %q, sample_ratio: 1}`, c.Otel)
	}
	if c.Global != "" {
		add(`global_rate_limit: {%s}`, c.Global)
	}
	add(`routes:`)
	for _, r := range c.Routes {
		add(`  - {%s}`, r)
	}
	return b.String()
}

// StartCluster starts n gateways that find each other and returns when each
// sees all. Bind and Join of the configuration are set here.
func (b Binary) StartCluster(tb testing.TB, n int, c Config) []*Gateway {
	tb.Helper()
	c.Bind = "127.0.0.1:0"
	start := func() *Gateway {
		g := b.Start(tb, c.YAML())
		g.Token = c.Token
		return g
	}
	nodes := []*Gateway{start()}
	c.Join = nodes[0].Cluster().Own().Address
	for range n - 1 {
		nodes = append(nodes, start())
	}
	for _, g := range nodes {
		Eventually(tb, startLimit, fmt.Sprintf("%s sees %d members", g.Addr, n), func() bool {
			return len(g.Cluster().Members) == n
		})
	}
	return nodes
}
