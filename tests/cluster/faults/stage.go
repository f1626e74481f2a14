package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/cluster/rig"
	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const (
	size    = 3 // nodes, as a rule
	largest = 5 // nodes there is room for
	users   = 4
)

// stage is everything a fault can befall.
type stage struct {
	tb        testing.TB
	epoch     time.Time
	ledger    *ledger
	well      *upstream // one endpoint of the service
	sick      *upstream // the other
	collector *collector
	redis     *rig.Redis
	guard     *guard       // sentinels, where Redis has some
	relays    []*rig.Relay // between each node and Redis
	gossip    *rig.Gossip
	nodes     []*node
	front     *front
	members   atomic.Int32 // that the nodes should see
	tokens    []string
}

// now is the time since the stage was set.
func (st *stage) now() time.Duration { return time.Since(st.epoch) }

// newStage brings up a cluster and returns when it is in good health.
func newStage(tb testing.TB, binary harness.Binary, f fault) *stage {
	tb.Helper()
	ports := harness.Ports(tb, 4+5*largest+guardPorts)
	st := &stage{tb: tb, epoch: time.Now(), ledger: newLedger(), collector: newCollector(tb, ports[0])}
	st.well, st.sick = newUpstream(tb, ports[1], st.ledger), newUpstream(tb, ports[2], st.ledger)
	group := func(i int) []int { return ports[4+i*largest : 4+(i+1)*largest] }
	st.startRedis(f, ports[3], group(0), ports[4+5*largest:])
	binds := rig.Addresses(group(1))
	st.gossip = rig.NewGossip(tb, binds, group(2))
	dir := tb.TempDir()
	for i := range largest {
		n := &node{
			tb: tb, binary: binary, addr: rig.Addresses(group(3))[i], admin: rig.Addresses(group(4))[i],
			file: filepath.Join(dir, fmt.Sprintf("node%d", i), "config.yaml"), log: filepath.Join(dir, fmt.Sprintf("node%d.log", i)),
		}
		if f.log != "" && i == 0 {
			n.log = f.log
		}
		if err := os.Mkdir(filepath.Dir(n.file), 0o700); err != nil {
			tb.Fatal(err)
		}
		n.write(n.file, st.config(i, n, binds[i]))
		st.nodes = append(st.nodes, n)
	}
	tb.Cleanup(st.end)
	st.join(0, size)
	st.front = newFront(tb, rig.Loopback(ports[len(ports)-1]), st.entries(size))
	st.settle()
	for i := range users {
		st.tokens = append(st.tokens, harness.Forge(tb, "HS256", harness.Secret, map[string]any{
			"sub": fmt.Sprintf("user-%d", i), "iss": "api-gateway", "exp": time.Now().Add(time.Hour).Unix(),
		}))
	}
	return st
}

// startRedis starts what the nodes limit by, and a relay to it for each.
func (st *stage) startRedis(f fault, port int, relays, guards []int) {
	st.tb.Helper()
	st.redis = rig.NewRedis(st.tb, port)
	st.redis.Start()
	if f.guarded {
		st.guard = newGuard(st.tb, st.redis, guards)
		return // nodes learn of servers from the sentinels: there is nothing to relay
	}
	for _, p := range relays {
		st.relays = append(st.relays, rig.NewRelay(st.tb, p, st.redis.Addr, func() bool { return true }))
	}
}

// config is what node i runs.
func (st *stage) config(i int, n *node, bind string) string {
	redis := "{}"
	if st.guard != nil {
		redis = fmt.Sprintf(`{mode: sentinel, master_name: main, addrs: ["%s"]}`, strings.Join(st.guard.addrs, `", "`))
	} else {
		redis = fmt.Sprintf(`{addrs: [%q]}`, st.relays[i].Addr)
	}
	port := func(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }
	return strings.Join([]string{
		`server: {host: "127.0.0.1", port: ` + port(n.addr) + `, trusted_proxies: ["127.0.0.1"], drain_delay_ms: 1500, drain_timeout_ms: 15000}`,
		`admin: {host: "127.0.0.1", port: ` + port(n.admin) + `}`,
		`jwt: {secret: "` + harness.Secret + `"}`,
		`redis: ` + redis,
		`otel: {endpoint: "` + st.collector.addr + `", sample_ratio: 0.1}`,
		fmt.Sprintf(`cluster: {bind: %q, advertise: %q, join: ["%s"], secret_key: "one-key-for-all-nodes"}`, bind, st.gossip.Addrs[i], strings.Join(st.gossip.Addrs[:size], `", "`)),
		`routes:`,
		`  - path: "/free/*"`,
		fmt.Sprintf(`    upstreams: [{url: "http://%s"}, {url: "http://%s"}]`, st.well.addr, st.sick.addr),
		`    auth_required: true`,
		`    timeout_ms: 1500`,
		`    retry: {attempts: 3, backoff_ms: 20}`,
		`    breaker: {failures: 5, open_ms: 1000}`,
		`    rate_limit: {key_by: user, rps: 20000, burst: 20000}`,
		`  - path: "/limited/*"`,
		`    upstream: "http://` + st.well.addr + `"`,
		fmt.Sprintf(`    rate_limit: {key_by: global, rps: %d, burst: %d}`, limitRate, limitBurst),
		``,
	}, "\n")
}

// entries are the addresses of the first n nodes.
func (st *stage) entries(n int) []string {
	var all []string
	for _, node := range st.nodes[:n] {
		all = append(all, node.addr)
	}
	return all
}

// join starts the nodes from one to another; it does not wait for the cluster.
func (st *stage) join(from, to int) {
	st.tb.Helper()
	for _, n := range st.nodes[from:to] {
		n.start()
	}
	st.members.Store(int32(to))
}

// sound says what is not as it should be, empty if all is well.
func (st *stage) sound() string {
	members := int(st.members.Load())
	for _, n := range st.nodes[:members] {
		if why := n.sound(members); why != "" {
			return why
		}
	}
	return ""
}

// settle waits for good health.
func (st *stage) settle() {
	st.tb.Helper()
	why := "not asked yet"
	for start := st.now(); why != ""; time.Sleep(50 * time.Millisecond) {
		if why = st.sound(); why != "" && st.now()-start > startLimit {
			st.tb.Fatalf("the cluster does not come up: %s", why)
		}
	}
}

// end kills every process that still runs, and shows their logs if they matter.
func (st *stage) end() {
	for _, n := range st.nodes {
		if n.cmd == nil {
			continue
		}
		n.kill()
		if st.tb.Failed() {
			st.tb.Logf("the end of the log of %s:\n%s", n.addr, n.lastLog())
		}
	}
}
