package main

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/go-api-gateway-pro/gateway/tests/echo"
	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

func TestMisuse(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != 2 || !strings.Contains(errs.String(), want) {
			t.Errorf("%v: exit code %d, %q; want 2 and %q", args, code, &errs, want)
		}
	}
	const file = "scenarios.json"
	f(`-scenario: must be one of flood, soak, steady, throughput, got "stedy"`, "-file", file, "-scenario", "stedy")
	f(`-target: must be http://host:port or https://host:port, got "127.0.0.1:8080"`, "-file", file, "-target", "127.0.0.1:8080")
	f(`-seconds: must be more than 0, got -3`, "-file", file, "-seconds", "-3")
	f(`cannot use argument "steady"`, "steady")
	f(`no such file`, "-file", "none.json")
	f(`flag provided but not defined`, "-rate", "3")
}

// scenarios are the limits of three real nodes, a load below them and one above.
// Latencies are not judged: the machine may be busy.
const scenarios = `{
  "limits": {"user": {"rps": 20, "burst": 30}, "ip": {"rps": 40, "burst": 50}},
  "scenarios": {
    "below": {"seconds": 2, "targets": [
      {"name": "user", "method": "GET", "path": "/users/1", "limit": "user", "users": 4, "share": 0.7},
      {"name": "ip", "method": "GET", "path": "/public/1", "limit": "ip", "share": 0.7}],
      "thresholds": {"errors": 0}},
    "above": {"seconds": 3, "targets": [
      {"name": "user", "method": "GET", "path": "/users/1", "limit": "user", "users": 1, "share": 5},
      {"name": "ip", "method": "GET", "path": "/public/1", "limit": "ip", "share": 5}],
      "thresholds": {"errors": 0, "admitted": {"least": 0.8, "most": 1.1}}}
  }
}`

// Three real nodes that share their buckets pass both loads. Three that do not know each
// other let three times as much through, which is found.
func TestRealNodes(t *testing.T) {
	binary, err := harness.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	up := httptest.NewServer(echo.Handler("up"))
	defer up.Close()
	file := filepath.Join(t.TempDir(), "scenarios.json")
	if err := os.WriteFile(file, []byte(scenarios), 0o600); err != nil {
		t.Fatal(err)
	}
	config := harness.Config{Server: "drain_delay_ms: 0", Budget: 1000, Routes: []string{
		fmt.Sprintf(`path: "/users/*", upstream: %q, auth_required: true, rate_limit: {rps: 20, burst: 30, key_by: user}`, up.URL),
		fmt.Sprintf(`path: "/public/*", upstream: %q, rate_limit: {rps: 40, burst: 50, key_by: ip}`, up.URL),
	}}
	f := func(scenario string, want int, nodes []*harness.Gateway) {
		t.Helper()
		var urls []string
		for _, g := range nodes {
			urls = append(urls, "http://"+g.Addr)
		}
		var out bytes.Buffer
		args := []string{"-file", file, "-scenario", scenario, "-config", nodes[0].File, "-target", strings.Join(urls, ",")}
		if code := run(t.Context(), args, &out, &out); code != want {
			t.Errorf("%s: exit code %d, want %d\n%s", scenario, code, want, &out)
		}
	}
	alone := []*harness.Gateway{binary.Start(t, config.YAML()), binary.Start(t, config.YAML()), binary.Start(t, config.YAML())}
	f("above", 1, alone)
	config.Redis = miniredis.RunT(t).Addr()
	nodes := binary.StartCluster(t, 3, config)
	f("below", 0, nodes)
	f("above", 0, nodes)
}
