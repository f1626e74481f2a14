package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/testcontainers/testcontainers-go"

	"github.com/go-api-gateway-pro/gateway/limiter"
	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const sentinels = 3

// guarded is a master and a replica under three sentinels. Processes 0 and 1 are
// the servers; who is the master changes.
type guarded struct{ *fleet }

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	ports := harness.Ports(t, 2+sentinels)
	var commands []string
	var files []testcontainers.ContainerFile
	for i, port := range ports {
		command := fmt.Sprintf("mkdir -p /tmp/%d; redis-server --port %d --dir /tmp/%d --save '' --protected-mode no --repl-diskless-sync-delay 0", port, port, port)
		if i == 1 {
			command += fmt.Sprintf(" --replicaof 127.0.0.1 %d", ports[0])
		}
		if i >= 2 {
			path := fmt.Sprintf("/tmp/%d.conf", port)
			files = append(files, testcontainers.ContainerFile{
				Reader: strings.NewReader(sentinelConfig(port, ports[0])), ContainerFilePath: path, FileMode: 0o666,
			})
			// A sentinel that finds no replica yet looks again ten seconds later.
			command = fmt.Sprintf("until redis-cli -p %d info replication | grep -q state=online; do sleep 0.1; done; redis-server %s --sentinel", ports[0], path)
		}
		commands = append(commands, command)
	}
	g := &guarded{newFleet(t, ports, commands, files...)}
	g.connect(impatient)
	g.complete()
	return g
}

func sentinelConfig(port, master int) string {
	return fmt.Sprintf("port %d\ndir /tmp\nprotected-mode no\n", port) +
		fmt.Sprintf("sentinel monitor main 127.0.0.1 %d 2\n", master) +
		"sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 2000\n"
}

// complete waits until each sentinel knows of everybody.
func (g *guarded) complete() {
	g.t.Helper()
	for i := range sentinels {
		harness.Eventually(g.t, 20*time.Second, fmt.Sprintf("all that sentinel %d has to know", i), func() bool {
			info, err := g.clients[2+i].Info(g.t.Context(), "sentinel").Result()
			return err == nil && strings.Contains(info, fmt.Sprintf("status=ok,address=127.0.0.1:%d,slaves=1,sentinels=3", g.ports[g.master()]))
		})
	}
	g.inStep(g.master(), "in-step")
}

// master is the server that is one, by its own word; the second if both say so.
func (g *guarded) master() int {
	if g.role(1) == "master" {
		return 1
	}
	return 0
}

func (g *guarded) node(budgetMS, members int) *node {
	g.t.Helper()
	c := limiter.DefaultConfig()
	c.Mode, c.MasterName, c.Addrs, c.BudgetMS = limiter.ModeSentinel, "main", g.addrs(2, 2+sentinels), budgetMS
	n := newNode(g.t, c, func(o *limiter.Options) { o.Size = func() int { return members } })
	n.settled()
	return n
}

// listener is the process of the sentinel from which the node hears of failovers.
func (g *guarded) listener() int {
	g.t.Helper()
	found := 0
	harness.Eventually(g.t, 10*time.Second, "a sentinel with a subscriber", func() bool {
		for i := range sentinels {
			list, err := g.clients[2+i].Do(g.t.Context(), "client", "list", "type", "pubsub").Text()
			if err == nil && list != "" {
				found = 2 + i
			}
		}
		return found > 0
	})
	return found
}

func TestRedisSentinel(t *testing.T) {
	g := newGuarded(t)
	f := func(name string, test func(t *testing.T, g *guarded)) {
		t.Run(name, func(t *testing.T) {
			own := *g.fleet
			own.t = t
			test(t, &guarded{&own})
		})
	}
	f("the master dies", sentinelMasterDies)
	f("a machine hangs", sentinelMachineHangs)
}

// Two nodes lose the master under load and find the new one. Admitted are at most
// B + R·T, and what the master had not yet told its replica: the load of a few
// milliseconds. With either return to Redis a node may find what the other has
// still to settle, its share of the burst.
func sentinelMasterDies(t *testing.T, g *guarded) {
	const rate, burst, budget, lost = 50, 300, 50 * time.Millisecond, 20
	nodes := []*node{g.node(int(budget/time.Millisecond), 2), g.node(int(budget/time.Millisecond), 2)}
	limit := perSecond("failover", rate, burst)
	b := limiter.Bucket{Limit: limit, Key: "ann"}
	stopNoise := measureNoise(t, budget)
	got, start := load(t, 10*time.Millisecond, nodes, b), time.Now()
	harness.Eventually(t, 10*time.Second, "an empty bucket", func() bool { return got.passed.Load() < got.checks.Load()-50 })
	old := g.master()
	g.signal(old, "KILL")
	harness.Eventually(t, 10*time.Second, "decisions without Redis", func() bool { return got.local.Load() > 50 })
	harness.Eventually(t, 20*time.Second, "a new master", func() bool { return g.role(1-old) == "master" })
	for _, n := range nodes {
		n.waitForMode(limiter.ModeRedis)
	}
	seen := got.checks.Load()
	harness.Eventually(t, 10*time.Second, "requests after the return", func() bool { return got.checks.Load() > seen+100 })
	got.stop()
	took := time.Since(start)

	got.checkBudget(t, budget, stopNoise())
	var returns float64
	for _, n := range nodes {
		returns += n.metric("gateway_limiter_mode_switches_total", `to="redis"`)
	}
	due := burst + rate*took.Seconds()
	t.Logf("admitted %d of %d in %s, due %.0f, %v returns", got.passed.Load(), got.checks.Load(), took, due, returns)
	if most := due + lost + returns*burst/2; float64(got.passed.Load()) > most || float64(got.passed.Load()) < 0.7*due {
		t.Errorf("admitted %d of %d in %s with %v returns, want %.0f to %.0f", got.passed.Load(), got.checks.Load(), took, returns, 0.7*due, most)
	}
	g.restart(old)
	g.follow(old)
	g.complete()
}

// follow makes a server the replica of the other; the sentinels would take ten
// seconds to do so.
func (g *guarded) follow(i int) {
	g.t.Helper()
	harness.Eventually(g.t, 10*time.Second, "a replica", func() bool {
		return g.clients[i].ReplicaOf(g.t.Context(), "127.0.0.1", fmt.Sprint(g.ports[1-i])).Err() == nil
	})
}

// The machine with the master and the sentinel that the node listens to hangs:
// connections stand, nothing is said. The node finds the new master through the
// other sentinels, and stays with it when the old one wakes and still takes itself
// for the master.
func sentinelMachineHangs(t *testing.T, g *guarded) {
	// A few of these budgets open the breaker, within the second that the sentinels wait.
	const burst, budgetMS = 20_000, 50
	n := g.node(budgetMS, 1)
	b := limiter.Bucket{Limit: slow("hangs", burst), Key: "ann"}
	got := load(t, 10*time.Millisecond, []*node{n}, b)
	waitForRedis := func(what string) {
		byRedis := func() int64 { return got.checks.Load() - got.local.Load() }
		seen := byRedis()
		harness.Eventually(t, 10*time.Second, what, func() bool { return byRedis() > seen+100 })
	}
	old, listener := g.master(), g.listener()
	g.signal(listener, "STOP")
	g.signal(old, "STOP")
	n.waitForMode(limiter.ModeLocal)
	harness.Eventually(t, 20*time.Second, "a new master", func() bool { return g.role(1-old) == "master" })
	n.waitForMode(limiter.ModeRedis)
	waitForRedis("decisions by the new master")
	g.signal(listener, "CONT")
	g.signal(old, "CONT")
	waitForRedis("decisions after the old master woke")
	got.stop()
	// Lost is what was asked of the old master in vain until the breaker opened.
	const lost = 5 * callers
	passed, charged := got.passed.Load(), int64(burst-left(t, g.clients[1-old], b))
	t.Logf("%d admitted, %d of them locally, %d charged", passed, got.local.Load(), charged)
	if charged < passed-lost || passed != got.checks.Load() {
		t.Errorf("admitted %d of %d, want all; the new master charged %d, want at most %d less", passed, got.checks.Load(), charged, lost)
	}
}

// impatient keeps a client of the test from waiting for a process that hangs.
func impatient(o *redis.Options) {
	o.ReadTimeout, o.DialTimeout = 500*time.Millisecond, 500*time.Millisecond
}
