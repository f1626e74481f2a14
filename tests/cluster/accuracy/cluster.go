package accuracy

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const (
	size       = 3                // nodes
	readyLimit = 30 * time.Second // for the nodes to find each other and Redis
	stopLimit  = 20 * time.Second
	secretKey  = "one-key-for-all-nodes"
)

// stage is what a scenario plays on: nodes or rivals, Redis, the upstream.
type stage struct {
	tb       testing.TB
	clock    clock
	upstream *upstream
	redis    *harness.Redis
	entries  []string // where requests go, one for each node
	marks    map[string]mark
	counted  bool // Redis is there all the time, to tell what it did

	binary  harness.Binary
	configs []string
	nodes   []*harness.Gateway // none if rivals play
	relays  []*harness.Relay   // between each node and Redis; nil: none
	gossip  *harness.Gossip    // nil: the nodes reach each other directly
}

// mark is a moment of a run and what each node's metrics were.
type mark struct {
	at      time.Duration
	scripts float64 // sent to Redis by then, by its own count
	nodes   []harness.Samples
}

// sum adds up a series over all nodes.
func (m mark) sum(name string, labels ...string) float64 {
	var sum float64
	for _, samples := range m.nodes {
		sum += samples.Sum(name, labels...)
	}
	return sum
}

// overBudget is how many checks took longer than budget and spare time, and how
// many there were.
func (m mark) overBudget() (late, all float64) {
	for _, samples := range m.nodes {
		l, a := samples.Above("gateway_limiter_check_seconds", "0.012")
		late, all = late+l, all+a
	}
	return late, all
}

// newStage brings everything up that the scenario needs and returns when it is
// ready for load.
func newStage(tb testing.TB, binary harness.Binary, s scenario) *stage {
	tb.Helper()
	c := newClock()
	st := &stage{tb: tb, clock: c, upstream: newUpstream(tb, c), marks: map[string]mark{}, binary: binary}
	ports := harness.Ports(tb, 1+4*size)
	st.redis = harness.NewRedis(tb, ports[0])
	if !s.orphan {
		st.redis.Start()
	}
	data, binds := ports[1:1+size], harness.Addresses(ports[1+size:1+2*size])
	st.entries = harness.Addresses(data)
	if s.rival != nil {
		startRivals(tb, st, s)
		return st
	}
	redisAt, gossipAt := slices.Repeat([]string{st.redis.Addr}, size), binds
	if s.relayed {
		redisAt = st.relayRedis(ports[1+2*size : 1+3*size])
		st.gossip = harness.NewGossip(tb, binds, ports[1+3*size:])
		gossipAt = st.gossip.Addrs
	}
	for i := range size {
		st.configs = append(st.configs, nodeConfig{
			port: data[i], redis: redisAt[i], bind: binds[i], advertise: gossipAt[i], join: gossipAt,
			loads: s.loads, upstream: st.upstream.addr,
		}.yaml())
		st.nodes = append(st.nodes, binary.Start(tb, st.configs[i]))
	}
	st.settle(!s.orphan)
	return st
}

// relayRedis puts a relay between every node and Redis.
func (st *stage) relayRedis(ports []int) []string {
	for _, port := range ports {
		st.relays = append(st.relays, harness.NewRelay(st.tb, port, st.redis.Addr, func() bool { return true }))
	}
	return harness.Addresses(ports)
}

// settle waits until every node sees all and, if it is there, Redis.
func (st *stage) settle(withRedis bool) {
	st.tb.Helper()
	for _, g := range st.nodes {
		harness.Eventually(st.tb, readyLimit, fmt.Sprintf("%s sees %d members", g.Addr, size), func() bool {
			return len(g.Cluster().Members) == size
		})
		harness.Eventually(st.tb, readyLimit, g.Addr+" uses Redis", func() bool {
			return !withRedis || g.Ready().Limits == "redis"
		})
	}
}

// note marks a moment. Metrics are read before it, so that what happens next
// happens at once.
func (st *stage) note(name string) {
	st.tb.Helper()
	if name == "" {
		return
	}
	var m mark
	for _, g := range st.nodes {
		m.nodes = append(m.nodes, g.Metrics())
	}
	if st.counted {
		m.scripts = st.redis.Scripts()
	}
	m.at = st.clock.now()
	st.marks[name] = m
}

// restart stops a node as a deployment does and starts it anew.
func (st *stage) restart(i int) {
	st.tb.Helper()
	st.nodes[i].Signal(syscall.SIGTERM)
	st.nodes[i].Exit(stopLimit)
	st.nodes[i] = st.binary.Start(st.tb, st.configs[i])
}

// awaitLocal waits until every node has logged that it limits on its own.
func (st *stage) awaitLocal() {
	st.tb.Helper()
	for _, g := range st.nodes {
		for start := st.clock.now(); !g.Logged("limiter: redis lost"); time.Sleep(5 * time.Millisecond) {
			if st.clock.now()-start > readyLimit {
				st.tb.Fatalf("%s does not notice that Redis is lost", g.Addr)
			}
		}
	}
}

// nodeConfig is what the configurations of nodes differ in.
type nodeConfig struct {
	port            int
	redis           string
	bind, advertise string
	join            []string
	loads           []load
	upstream        string
}

func (c nodeConfig) yaml() string {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	add(`server: {host: "127.0.0.1", port: %d, trusted_proxies: ["127.0.0.1"], drain_delay_ms: 0}`, c.port)
	add(`admin: {host: "127.0.0.1", port: 0}`)
	add(`log: {access: "off"}`)
	add(`jwt: {secret: %q}`, harness.Secret)
	add(`redis: {addrs: [%q]}`, c.redis)
	add(`cluster: {bind: %q, advertise: %q, join: ["%s"], secret_key: %q}`, c.bind, c.advertise, strings.Join(c.join, `", "`), secretKey)
	for _, l := range c.loads {
		if l.limit.global {
			add("global_rate_limit: {%s}", l.limit.yaml())
		}
	}
	add("routes:")
	for _, l := range c.loads {
		own := l.limit.yaml()
		if l.limit.global {
			own = ""
		}
		add(`  - {path: "/%s/*", upstream: "http://%s", rate_limits: [%s]}`, l.limit.name, c.upstream, wrap(own))
	}
	return b.String()
}

// wrap makes keys a list's one element, or none.
func wrap(keys string) string {
	if keys == "" {
		return ""
	}
	return "{" + keys + "}"
}

// missing returns why the gateway cannot play the scenario: the line of its own
// check that names a key it does not know yet. Empty: it can.
func missing(tb testing.TB, binary harness.Binary, s scenario) string {
	tb.Helper()
	file := tb.TempDir() + "/config.yaml"
	text := nodeConfig{
		port: 1, redis: harness.Loopback(2), bind: harness.Loopback(3), advertise: harness.Loopback(3), join: []string{harness.Loopback(3)},
		loads: s.loads, upstream: harness.Loopback(4),
	}.yaml()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	r := binary.Run(tb, nil, "-check", file)
	if r.Code == 0 {
		return ""
	}
	for line := range strings.Lines(r.Stdout + r.Stderr) {
		if strings.Contains(line, "not supported yet") {
			return strings.TrimSpace(line)
		}
	}
	tb.Fatalf("the gateway refuses the configuration of %q: %s%s", s.name, r.Stdout, r.Stderr)
	return ""
}
