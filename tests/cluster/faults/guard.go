package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-api-gateway-pro/gateway/tests/cluster/rig"
	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const (
	sentinels  = 3
	guardPorts = sentinels + 2 // theirs, the replica's and, last of all, the front's
)

// guard is a replica and three sentinels beside a Redis.
type guard struct {
	addrs   []string // of the sentinels
	replica *rig.Redis
}

// newGuard starts them and returns when each knows of all.
func newGuard(tb testing.TB, master *rig.Redis, ports []int) *guard {
	tb.Helper()
	g := &guard{addrs: rig.Addresses(ports[:sentinels]), replica: rig.NewRedis(tb, ports[sentinels])}
	g.replica.Start()
	host, port, _ := strings.Cut(master.Addr, ":")
	g.replica.Do("REPLICAOF", host, port)
	harness.Eventually(tb, startLimit, "the replica is in step", func() bool {
		return strings.Contains(master.Info("replication"), "state=online")
	})
	dir := tb.TempDir()
	for i, p := range ports[:sentinels] {
		file := filepath.Join(dir, fmt.Sprintf("sentinel%d.conf", i))
		text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor main %s %s 2\n", p, dir, host, port) +
			"sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 3000\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
		cmd := exec.Command("redis-server", file, "--sentinel")
		if err := cmd.Start(); err != nil {
			tb.Fatalf("cannot start a sentinel: %v", err)
		}
		tb.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // killed: an error by design
		})
	}
	for _, addr := range g.addrs {
		g.complete(tb, addr)
	}
	return g
}

// complete waits until a sentinel knows of the others and of the replica.
func (g *guard) complete(tb testing.TB, addr string) {
	tb.Helper()
	_, port, _ := strings.Cut(addr, ":")
	harness.Eventually(tb, startLimit, "all that a sentinel has to know", func() bool {
		out, err := exec.CommandContext(tb.Context(), "redis-cli", "-h", "127.0.0.1", "-p", port, "info", "sentinel").Output()
		return err == nil && strings.Contains(string(out), "slaves=1,sentinels=3")
	})
}
