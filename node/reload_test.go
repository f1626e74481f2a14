package node

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const oneRoute = `
routes:
  - {path: "/v1", upstream: "${UPSTREAM}", rate_limit: {rps: 1, burst: 2, key_by: ip}}
`

func TestReloadSwapsRoutes(t *testing.T) {
	n := start(t, oneRoute)
	if n.do("GET", "/v2").StatusCode != 404 {
		t.Fatal("/v2 is served before it is configured")
	}
	n.write(strings.ReplaceAll(oneRoute, "/v1", "/v2"))
	eventually(t, "/v2 after the file changed", func() bool { return n.do("GET", "/v2").StatusCode == 200 })
	if got := n.do("GET", "/v1").StatusCode; got != 404 {
		t.Errorf("/v1 answers %d after it was removed", got)
	}
	if got := n.configStatus(); got.Version != 2 || got.Result != "ok" {
		t.Errorf("status is %+v, want version 2, ok", got)
	}
}

// Something that writes beside the file all the time must not keep the change
// from being seen.
func TestReloadBesideABusyFile(t *testing.T) {
	n := start(t, oneRoute)
	busy := filepath.Join(filepath.Dir(n.path), "busy.log")
	ctx, stop := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		for ctx.Err() == nil {
			_ = os.WriteFile(busy, []byte("line"), 0o600)
			time.Sleep(time.Millisecond)
		}
	})
	n.write(strings.ReplaceAll(oneRoute, "/v1", "/v2"))
	eventually(t, "/v2 after the file changed", func() bool { return n.do("GET", "/v2").StatusCode == 200 })
	stop()
	writer.Wait()
}

// Kubernetes replaces a directory behind a symlink; the file's own name does not
// change.
func TestReloadFollowsASymlink(t *testing.T) {
	n := start(t, oneRoute)
	dir := filepath.Dir(n.path)
	target := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	running, err := os.ReadFile(n.path)
	if err != nil {
		t.Fatal(err)
	}
	second := target("second", strings.ReplaceAll(string(running), "/v1", "/v2"))
	link := filepath.Join(dir, "link")
	if err := errors.Join(os.Symlink(second, link), os.Rename(link, n.path)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "/v2 behind the link", func() bool { return n.do("GET", "/v2").StatusCode == 200 })
	target("second", strings.ReplaceAll(string(running), "/v1", "/v3"))
	eventually(t, "/v3 written in place", func() bool { return n.do("GET", "/v3").StatusCode == 200 })
}

func TestBrokenConfigChangesNothing(t *testing.T) {
	n := start(t, oneRoute)
	before := n.snapshot.Load()
	f := func(text, want string) {
		t.Helper()
		n.write(text)
		if err := n.Reload(); err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("refused with %v, want %q", err, want)
		}
		n.logs.wait(t, want)
		if n.snapshot.Load() != before {
			t.Errorf("%q took effect", text)
		}
		if got := n.configStatus().Result; got != "refused" {
			t.Errorf("result is %q", got)
		}
	}
	f("routes: [", "cannot parse YAML")
	f(strings.Replace(oneRoute, "rps: 1", "rps: 0", 1), "routes[0].rate_limit.rps: must be at least 1, got 0 (line 6)")
	f("redis: {budget_ms: 20}\n"+oneRoute, "redis.budget_ms: cannot change while the process runs")
	if got := n.do("GET", "/v1").StatusCode; got != 200 {
		t.Errorf("status %d on the old configuration", got)
	}
	n.write(oneRoute)
	if err := n.Reload(); err != nil || n.configStatus().Result != "ok" {
		t.Errorf("the old configuration put back gives %v, %+v", err, n.configStatus())
	}
}

func TestReloadKeepsBuckets(t *testing.T) {
	n := start(t, oneRoute)
	for range 2 {
		n.do("GET", "/v1")
	}
	n.write(oneRoute + "  - {path: /other, upstream: \"${UPSTREAM}\"}\n")
	eventually(t, "/other", func() bool { return n.do("GET", "/other").StatusCode == 200 })
	if got := n.do("GET", "/v1").StatusCode; got != 429 {
		t.Errorf("status %d: the reload filled the bucket again", got)
	}
}

func TestUnreadableFileIsForgivenOnceItIsBack(t *testing.T) {
	n := start(t, oneRoute)
	if err := os.Remove(n.path); err != nil {
		t.Fatal(err)
	}
	if err := n.Reload(); err == nil || n.configStatus().Result != "refused" {
		t.Errorf("a missing file gives %v, %q", err, n.configStatus().Result)
	}
	n.write(oneRoute)
	if err := n.Reload(); err != nil || n.configStatus().Result != "ok" {
		t.Errorf("the same file put back gives %v, %q", err, n.configStatus().Result)
	}
}

func TestEqualBytesAreNoReload(t *testing.T) {
	n := start(t, oneRoute)
	before := n.snapshot.Load()
	n.write(oneRoute)
	if err := n.Reload(); err != nil || n.snapshot.Load() != before {
		t.Errorf("an equal file was reloaded: %v", err)
	}
}

// 2,000 requests while the file changes ten times, one of them broken.
func TestReloadUnderLoadLosesNoRequest(t *testing.T) {
	n := start(t, strings.Replace(oneRoute, "rps: 1, burst: 2", "rps: 100000", 1))
	var failed, done atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 500 {
				if status := n.do("GET", "/v1").StatusCode; status != http.StatusOK {
					failed.Add(1)
				}
				done.Add(1)
			}
		})
	}
	for i := range 10 {
		want := int64(i+1) * 180
		eventually(t, "progress", func() bool { return done.Load() >= want })
		text := strings.Replace(oneRoute, "rps: 1, burst: 2", "rps: "+strconv.Itoa(50000+i), 1)
		if i == 5 {
			text = "routes: [broken"
		}
		n.write(text)
		_ = n.Reload() // nil if the watcher was faster: the outcome tells
		result := "ok"
		if i == 5 {
			result = "refused"
		}
		if got := n.configStatus().Result; got != result {
			t.Errorf("reload %d: %s, want %s", i, got, result)
		}
	}
	clients.Wait()
	if failed.Load() > 0 || n.hits.Load() != 2000 {
		t.Errorf("%d of 2000 requests failed, %d reached the upstream", failed.Load(), n.hits.Load())
	}
	if got := n.configStatus().Version; got != 10 {
		t.Errorf("version %d, want 10: the first, and nine that were good", got)
	}
}

func TestWeakSecretIsRefusedInProduction(t *testing.T) {
	f := func(env, secret string, ok bool) {
		t.Helper()
		n := &Node{lookup: func(name string) (string, bool) { return env, name == "GATEWAY_ENV" }}
		_, err := n.parse([]byte("jwt: {secret: " + secret + "}"))
		if (err == nil) != ok {
			t.Errorf("env %q, secret %q: %v, want accepted %t", env, secret, err, ok)
		}
		if err != nil && strings.Contains(err.Error(), "short-one") {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	f("production", "change-me-in-production", false)
	f("production", "short-one", false)
	f("production", testSecret, true)
	f("development", "change-me-in-production", true)
	f("", "short-one", true)
}
