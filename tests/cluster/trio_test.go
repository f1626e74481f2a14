package cluster

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/go-api-gateway-pro/gateway/node"
	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// trio is three nodes that know each other, one Redis and one upstream.
type trio struct {
	t        *testing.T
	nodes    []*member
	redis    *miniredis.Miniredis
	upstream *httptest.Server
	hits     atomic.Int64
	failing  atomic.Bool
}

type member struct {
	*node.Node

	path    string
	logs    *harness.Buffer
	stop    context.CancelFunc
	stopped chan struct{}
}

const routes = `
server: {host: 127.0.0.1, port: 0, drain_delay_ms: 0, drain_timeout_ms: 5000}
admin: {port: 0}
redis: {addrs: ["${REDIS}"], budget_ms: 200}
cluster: {bind: "${BIND}", join: ["${JOIN:-}"], secret_key: the-first-key-of-the-trio}
routes:
  - {path: "/limited", upstream: "${UPSTREAM}", rate_limit: {rps: 1, burst: 20, key_by: ip}}
  - {path: "/free", upstream: "${UPSTREAM}", breaker: {failures: 3, open_ms: 60000}}
`

func startTrio(t *testing.T) *trio {
	t.Helper()
	c := newTrio(t)
	at := c.redis.Addr()
	c.startAll(at, at, at)
	return c
}

// newTrio starts all but the nodes.
func newTrio(t *testing.T) *trio {
	t.Helper()
	c := &trio{t: t, redis: miniredis.NewMiniRedis()}
	if err := c.redis.StartAddr(loopback(harness.Ports(t, 1)[0])); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.redis.Close)
	c.upstream = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c.hits.Add(1)
		if c.failing.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(c.upstream.Close)
	return c
}

// startAll starts three nodes, each with its own way to Redis.
func (c *trio) startAll(redisAt ...string) {
	c.t.Helper()
	var binds []string
	for _, port := range harness.Ports(c.t, len(redisAt)) {
		binds = append(binds, loopback(port))
	}
	for i := range binds {
		c.nodes = append(c.nodes, c.run(i, routes, map[string]string{
			"REDIS": redisAt[i], "BIND": binds[i], "UPSTREAM": c.upstream.URL, "JOIN": binds[(i+1)%len(binds)],
		}))
	}
	c.eventually("three members on every node", func() bool { return c.everyoneSees(len(redisAt)) })
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// run starts one node; it stops with the test at the latest.
func (c *trio) run(i int, text string, env map[string]string) *member {
	c.t.Helper()
	m := &member{logs: &harness.Buffer{}, stopped: make(chan struct{}), path: filepath.Join(c.t.TempDir(), "config.yaml")}
	m.write(c.t, text)
	var err error
	m.Node, err = node.New(node.Options{
		Path: m.path, Log: m.logs, Version: "test",
		Lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(c.t.Context())
	m.stop = stop
	go func() {
		defer close(m.stopped)
		if err := m.Run(ctx); err != nil {
			c.t.Errorf("node %d stopped with %v", i+1, err)
		}
	}()
	c.t.Cleanup(func() { stop(); <-m.stopped })
	return m
}

func (m *member) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(m.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// get returns the status of a request to one node.
func (c *trio) get(m *member, path string) int {
	c.t.Helper()
	resp, err := http.Get("http://" + m.Addr() + path)
	if err != nil {
		c.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// view is what a node says of the cluster.
type view struct {
	Members []struct {
		Name, Mode string
		Config     struct {
			Hash, Result string
			Version      int
		}
	}
	Breakers []struct {
		Backend, State string
		By             []string
		Override       *struct{ State, By string }
	}
}

func (c *trio) view(m *member) view {
	c.t.Helper()
	resp, err := http.Get("http://" + m.AdminAddr() + "/cluster")
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	var v view
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		c.t.Fatal(err)
	}
	return v
}

// everyoneSees reports whether all running nodes list n members and know each
// one's configuration.
func (c *trio) everyoneSees(n int) bool {
	for _, m := range c.nodes {
		v := c.view(m)
		if len(v.Members) != n {
			return false
		}
		for _, seen := range v.Members {
			if seen.Config.Hash == "" {
				return false
			}
		}
	}
	return true
}

func (c *trio) metric(m *member, name string) string {
	c.t.Helper()
	resp, err := http.Get("http://" + m.Addr() + "/metrics")
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// eventually polls until ok, for what gossip does in its own time.
func (c *trio) eventually(what string, ok func() bool) {
	c.t.Helper()
	harness.Eventually(c.t, 30*time.Second, what, ok)
}
