package main

import (
	"fmt"
	"strings"
)

// wiring is what differs between the nodes of a trial: addresses.
type wiring struct{ addr, gossip, join, redis, upstream string }

// nodeConfig is a node with everything on, as in the comparison. The limits have a
// name, so that a user has one bucket however many routes there are.
func nodeConfig(t trial, w wiring) string {
	var b strings.Builder
	host, port, _ := strings.Cut(w.addr, ":")
	fmt.Fprintf(&b, `
server: {host: %q, port: %s, max_connections_per_client: 0}
admin: {port: 0}
redis: {addrs: [%q]}
cluster: {bind: %q, join: [%q]}
otel: {endpoint: "127.0.0.1:1", sample_ratio: 0.01}
cors: {allow_origins: ["https://app.example"]}
jwt: {secret: %q}
global_rate_limit: {rps: 100000, burst: 100000}
routes:
`, host, port, w.redis, w.gossip, w.join, secret)
	for i := range t.routes {
		fmt.Fprintf(&b, `
  - path: "/route/%d/*"
    upstream: "http://%s"
    auth_required: true
    rate_limits: [{name: users, key_by: user, rps: 100000, burst: 100000}, {name: addresses, key_by: ip, rps: 100000, burst: 100000}]
    retry: {attempts: 2}
`, i, w.upstream)
	}
	return b.String()
}
