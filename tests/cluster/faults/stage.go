package faults

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/node"
	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const (
	size      = 3 // nodes
	last      = 2 // the node that faults of one node befall
	most      = 5 // while scaled out
	userRate  = 40
	userBurst = 60

	startLimit = 30 * time.Second // for the nodes to find each other and Redis
	stopLimit  = 20 * time.Second
)

// stage is what a fault plays on: nginx, nodes, Redis, upstreams, and what lies
// between them.
type stage struct {
	tb        testing.TB
	clock     clock
	binary    harness.Binary
	front     *front
	redis     *harness.Redis
	spare     *failover // a replica and sentinels; nil: none
	collector *harness.Relay
	ledger    *ledger
	upstreams []*upstream // two of the free route, one of the limited one
	gossip    *harness.Gossip
	relays    []*harness.Relay // from each node to Redis
	configs   []string
	admins    []string
	entries   []string           // where nginx reaches the nodes
	nodes     []*harness.Gateway // nil: not a process of its own, or not there
	tokens    map[string]string
	access    string // which requests the nodes log
	members   int    // that the nodes are to see when all is well

	crowd      crowd
	redisClock *redisClock  // nil: it goes right
	nodeClock  atomic.Int64 // what the wall clock of the last node is off, in ns
}

// newStage brings up what a fault needs and returns when it is ready for load.
func newStage(tb testing.TB, binary harness.Binary, f fault) *stage {
	tb.Helper()
	st := &stage{tb: tb, binary: binary, clock: clock{time.Now()}, members: size, access: "errors", nodes: make([]*harness.Gateway, most)}
	if f.fullDisk {
		st.access = "all"
	}
	free := ports(harness.Ports(tb, 1+5*most+1+3+1+sentinels))
	st.startRedis(&free, f)
	st.startUpstreams(&free, f)
	st.entries, st.admins = harness.Addresses(free.take(most)), harness.Addresses(free.take(most))
	binds := harness.Addresses(free.take(most))
	st.gossip = harness.NewGossip(tb, binds, free.take(most))
	for i, bind := range binds {
		st.configs = append(st.configs, st.yaml(i, bind))
	}
	st.startAll(f)
	st.tokens = map[string]string{"ann": token(tb, "ann"), "bob": token(tb, "bob")}
	st.front = newFront(tb, harness.Loopback(free.take(1)[0]), st.entries[:size])
	harness.Eventually(tb, startLimit, "a cluster that is well", func() bool { return st.ill() == "" })
	return st
}

// ports are free ones.
type ports []int

func (p *ports) take(n int) []int {
	taken := (*p)[:n]
	*p = (*p)[n:]
	return taken
}

// startRedis runs Redis, and a relay to it for each node.
func (st *stage) startRedis(free *ports, f fault) {
	st.tb.Helper()
	var env []string
	if f.stepped {
		st.redisClock = newRedisClock(st.tb)
		env = st.redisClock.env()
	}
	st.redis = harness.NewRedis(st.tb, free.take(1)[0], env...)
	st.redis.Start()
	for _, port := range free.take(most) {
		st.relays = append(st.relays, harness.NewRelay(st.tb, port, st.redis.Addr, func() bool { return true }))
	}
	if f.sentinel {
		st.spare = newFailover(st.tb, st.redis, free.take(1+sentinels))
	}
}

// startUpstreams runs the upstreams, and the collector of traces if the fault is
// about it.
func (st *stage) startUpstreams(free *ports, f fault) {
	st.tb.Helper()
	st.ledger = &ledger{clock: st.clock}
	for _, addr := range harness.Addresses(free.take(3)) {
		st.upstreams = append(st.upstreams, newUpstream(st.tb, addr, st.ledger))
	}
	st.startCollector(f)
}

// token is a user's. It does not tell when it was issued: a node whose clock is
// behind refuses what comes from the future.
func token(tb testing.TB, user string) string {
	return harness.Forge(tb, "HS256", harness.Secret, map[string]any{
		"sub": user, "iss": "api-gateway", "exp": time.Now().Add(4 * time.Hour).Unix(),
	})
}

// startCollector runs a collector of traces behind a relay, if the fault is about it.
func (st *stage) startCollector(f fault) {
	if !f.traced {
		return
	}
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	st.tb.Cleanup(web.Close)
	st.collector = harness.NewRelay(st.tb, harness.Ports(st.tb, 1)[0], web.Listener.Addr().String(), func() bool { return true })
}

// startAll runs the nodes a stage begins with, the last one as the fault wants it.
func (st *stage) startAll(f fault) {
	st.tb.Helper()
	for i := range size {
		switch {
		case i == last && f.fullDisk:
			st.startOnFullDisk(i)
		case i == last && f.inside:
			st.startInside(i)
		default:
			st.start(i)
		}
	}
}

// start runs node i, for the first time or again.
func (st *stage) start(i int) {
	st.tb.Helper()
	st.nodes[i] = st.binary.Start(st.tb, st.configs[i])
}

// startOnFullDisk runs node i with a log that cannot be written.
func (st *stage) startOnFullDisk(i int) {
	st.tb.Helper()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		st.tb.Fatal(err)
	}
	st.tb.Cleanup(func() { full.Close() })
	st.nodes[i] = st.binary.StartBlind(st.tb, st.configs[i], st.entries[i], full)
}

// startInside runs node i in this process, where its clock can be stepped.
func (st *stage) startInside(i int) {
	st.tb.Helper()
	path := filepath.Join(st.tb.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(st.configs[i]), 0o600); err != nil {
		st.tb.Fatal(err)
	}
	n, err := node.New(node.Options{Path: path, Log: io.Discard, Now: func() time.Time {
		return stepped(time.Now(), time.Duration(st.nodeClock.Load()))
	}})
	if err != nil {
		st.tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := n.Run(ctx); err != nil {
			st.tb.Errorf("the node in this process: %v", err)
		}
	})
	st.tb.Cleanup(func() {
		stop()
		running.Wait()
	})
}

// stop ends node i as a deployment does.
func (st *stage) stop(i int) {
	st.tb.Helper()
	st.nodes[i].Signal(syscall.SIGTERM)
	st.nodes[i].Exit(stopLimit)
}

// yaml is the configuration of node i. The nodes reach Redis and each other
// through relays.
func (st *stage) yaml(i int, bind string) string {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	_, port, _ := net.SplitHostPort(st.entries[i])
	_, admin, _ := net.SplitHostPort(st.admins[i])
	add(`server: {host: "127.0.0.1", port: %s, trusted_proxies: ["127.0.0.1"]}`, port)
	add(`admin: {host: "127.0.0.1", port: %s}`, admin)
	add(`log: {access: %q}`, st.access)
	add(`jwt: {secret: %q}`, harness.Secret)
	add(`%s`, st.redisYAML(i))
	add(`cluster: {bind: %q, advertise: %q, join: ["%s"], secret_key: "one-key-for-all-nodes"}`,
		bind, st.gossip.Addrs[i], strings.Join(st.gossip.Addrs[:size], `", "`))
	if st.collector != nil {
		add(`otel: {endpoint: %q, sample_ratio: 1}`, st.collector.Addr)
	}
	add(`routes:`)
	add(`  - {path: "/free/*", upstreams: [{url: "http://%s"}, {url: "http://%s"}], timeout_ms: 1000, retry: {attempts: 2, backoff_ms: 10}, breaker: {open_ms: 1000}}`,
		st.upstreams[0].addr, st.upstreams[1].addr)
	add(`  - {path: "/limited/*", upstream: "http://%s", auth_required: true, rate_limit: {key_by: user, rps: %d, burst: %d}}`, st.upstreams[2].addr, userRate, userBurst)
	return b.String()
}

func (st *stage) redisYAML(i int) string {
	if st.spare != nil {
		return fmt.Sprintf(`redis: {mode: sentinel, master_name: main, addrs: ["%s"]}`, strings.Join(st.spare.sentinels, `", "`))
	}
	return fmt.Sprintf(`redis: {addrs: [%q]}`, st.relays[i].Addr)
}
