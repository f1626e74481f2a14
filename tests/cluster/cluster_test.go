package cluster

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// The limit is the cluster's, whatever node a request lands on.
func TestLimitHoldsForTheCluster(t *testing.T) {
	c := startTrio(t)
	began := time.Now()
	admitted := make([]int, 3)
	for i := range 60 {
		switch status := c.get(c.nodes[i%3], "/limited"); status {
		case http.StatusOK:
			admitted[i%3]++
		case http.StatusTooManyRequests:
		default:
			t.Errorf("status %d", status)
		}
	}
	total := admitted[0] + admitted[1] + admitted[2]
	most := 20 + int(time.Since(began).Seconds()) + 1
	if total < 20 || total > most {
		t.Errorf("%d of 60 admitted, want 20 to %d", total, most)
	}
	if slices.Contains(admitted, 0) {
		t.Errorf("admitted by node: %v, want some by each", admitted)
	}
	if int(c.hits.Load()) != total {
		t.Errorf("the upstream was hit %d times, %d were admitted", c.hits.Load(), total)
	}
}

// Without Redis each node limits to its share: 20/3 tokens, rounded down, and a
// third of the rate.
func TestLimitHoldsWithoutRedis(t *testing.T) {
	c := startTrio(t)
	c.redis.Close()
	c.eventually("local mode on every node", func() bool {
		for _, m := range c.nodes {
			if status := c.get(m, "/free"); status != http.StatusOK {
				t.Fatalf("status %d while Redis is lost", status)
			}
			c.get(m, "/limited") // opens the breaker on Redis
		}
		return !slices.ContainsFunc(c.nodes, func(m *member) bool { return c.metric(m, `gateway_limiter_mode{mode="local"}`) != "1" })
	})
	began, admitted := time.Now(), 0
	for i := range 120 {
		switch status := c.get(c.nodes[i%3], "/limited"); status {
		case http.StatusOK:
			admitted++
		case http.StatusTooManyRequests:
		default:
			t.Errorf("status %d", status)
		}
	}
	if most := 20 + int(time.Since(began).Seconds()) + 1; admitted > most {
		t.Errorf("%d of 120 admitted without Redis, want at most %d", admitted, most)
	}
	if err := c.redis.Restart(); err != nil {
		t.Fatal(err)
	}
	c.eventually("Redis being used again", func() bool {
		return !slices.ContainsFunc(c.nodes, func(m *member) bool { return c.metric(m, `gateway_limiter_mode{mode="redis"}`) != "1" })
	})
}

func TestConfigDriftIsVisible(t *testing.T) {
	c := startTrio(t)
	c.eventually("one configuration", func() bool { return c.metric(c.nodes[0], "gateway_cluster_config_versions") == "1" })
	c.nodes[1].write(t, strings.Replace(routes, "burst: 20", "burst: 30", 1))
	c.eventually("drift on another node", func() bool { return c.metric(c.nodes[0], "gateway_cluster_config_versions") == "2" })
	c.eventually("the drift in the log", func() bool { return strings.Contains(c.nodes[0].logs.String(), "members run different configurations") })
	hashes := map[string]int{}
	for _, m := range c.view(c.nodes[2]).Members {
		hashes[m.Config.Hash]++
	}
	if len(hashes) != 2 {
		t.Errorf("the third node shows hashes %v, want two", hashes)
	}
	c.nodes[1].write(t, routes)
	c.eventually("the end of the drift", func() bool { return c.metric(c.nodes[0], "gateway_cluster_config_versions") == "1" })
	c.eventually("its end in the log", func() bool {
		return strings.Contains(c.nodes[0].logs.String(), "all members run the same configuration")
	})
}

// Everything that is told of a member, as any other one tells it.
func TestClusterShowsEveryMember(t *testing.T) {
	c := startTrio(t)
	c.eventually("figures of a node that serves", func() bool {
		c.get(c.nodes[1], "/free")
		return c.row(c.nodes[0], c.nodes[1])["rps"] != float64(0) && c.row(c.nodes[0], c.nodes[1])["p99_ms"] != float64(0)
	})
	got := c.row(c.nodes[0], c.nodes[1])
	want := []string{
		"address", "answers_429", "config", "draining", "drifted", "errors_5xx", "health_score", "mode", "name", "p99_ms", "rps", "silent_ms", "trail",
		"uptime_s", "version",
	}
	for _, key := range want {
		if _, there := got[key]; !there {
			t.Errorf("no %s in %v", key, got)
		}
	}
	if len(got) != len(want) || got["version"] != "test" || got["mode"] != "redis" {
		t.Errorf("got %v, want the keys %v, version test, mode redis", got, want)
	}
	config, _ := got["config"].(map[string]any)
	loaded, err := time.Parse(time.RFC3339Nano, fmt.Sprint(config["loaded_at"]))
	if config["version"] != float64(1) || config["hash"] == "" || config["result"] != "ok" || err != nil || time.Since(loaded) > time.Minute {
		t.Errorf("got config %v, want version 1, a hash, ok, and a time just past", config)
	}
	hash := fmt.Sprint(config["hash"])
	if got := c.metric(c.nodes[1], `gateway_config_info{hash="`+hash+`",version="1"}`); got != "1" {
		t.Errorf("gateway_config_info of %s is %q, want 1", hash, got)
	}
}

// row is what one node says of another.
func (c *trio) row(of, about *member) map[string]any {
	c.t.Helper()
	var v struct{ Members []map[string]any }
	harness.Ask(c.t, "GET", "http://"+of.AdminAddr()+"/cluster", "").JSON(c.t, &v)
	for _, m := range v.Members {
		if m["name"] == about.Name() {
			return m
		}
	}
	return nil
}

func TestRefusedConfigIsVisible(t *testing.T) {
	c := startTrio(t)
	c.nodes[1].write(t, "routes: [broken")
	c.eventually("the refusal on another node", func() bool {
		for _, m := range c.view(c.nodes[0]).Members {
			if m.Name == c.nodes[1].Name() && m.Config.Result == "refused" && m.Config.Version == 1 {
				return true
			}
		}
		return false
	})
}

// What one node finds out about a backend is shown by the others, who look for
// themselves with their next request.
func TestOpenBreakerIsVisible(t *testing.T) {
	c := startTrio(t)
	c.failing.Store(true)
	for range 3 {
		c.get(c.nodes[0], "/free")
	}
	c.eventually("the breaker on another node", func() bool {
		for _, b := range c.view(c.nodes[2]).Breakers {
			if b.State == "suspect" && slices.Contains(b.By, c.nodes[0].Name()) {
				return true
			}
		}
		return false
	})
	if status := c.get(c.nodes[0], "/free"); status != http.StatusServiceUnavailable {
		t.Errorf("status %d with the breaker open", status)
	}
	if hits := c.hits.Load(); hits != 3 {
		t.Errorf("the backend was hit %d times, want 3", hits)
	}
}

// A node that leaves is gone at once, with its share of the limits.
func TestLeavingNodeIsForgotten(t *testing.T) {
	c := startTrio(t)
	c.nodes[2].stop()
	<-c.nodes[2].stopped
	c.nodes = c.nodes[:2]
	c.eventually("two members", func() bool { return c.everyoneSees(2) })
	if got := c.metric(c.nodes[0], "gateway_cluster_members"); got != "2" {
		t.Errorf("gateway_cluster_members is %s", got)
	}
}

// The key is replaced in the files of a running cluster, one step after the
// other on every node, and nobody refuses anybody on the way.
func TestGossipKeyIsReplacedByReload(t *testing.T) {
	const first, second = "the-first-key-of-the-trio", "the-second-key-of-the-trio"
	c := startTrio(t)
	for step, keys := range []string{first + ", " + second, second + ", " + first, second} {
		for _, m := range c.nodes {
			m.write(t, strings.Replace(routes, "secret_key: "+first, "secret_key: ["+keys+"]", 1))
			c.eventually("the keys in use", func() bool {
				return strings.Count(m.logs.String(), "gossip keys replaced") == step+1
			})
		}
	}
	c.nodes[2].stop()
	<-c.nodes[2].stopped
	c.nodes = c.nodes[:2]
	c.eventually("word of a leave under the new key", func() bool { return c.everyoneSees(2) })
	for _, m := range c.nodes {
		if got := c.metric(m, `gateway_cluster_refused_total{reason="key"}`); got != "0" {
			t.Errorf("%s refused %s messages for their key", m.Name(), got)
		}
		if logs := m.logs.String(); strings.Contains(logs, first) || strings.Contains(logs, second) {
			t.Error("a key is in the log")
		}
	}
}
