package compose

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// site is three gateways on two real networks: `front` with nginx and the
// upstream, `back` with Redis and the gossip. The gateways are not told which of
// their addresses to advertise.
type site struct {
	Front string // address of nginx

	t    *testing.T
	name string // begins the names of all that belongs to it
}

const siteConfig = `
redis: {addrs: ["redis:6379"], budget_ms: 500, fallback: {min_members: 3}}
cluster: {bind: "0.0.0.0:7946", join: ["peers:7946"], secret_key: "one key for the nodes of this test"}
jwt: {secret: "a secret for the tests alone, of many bytes"}
routes:
  - {path: "/free/*", upstream: "http://echo:8080"}
  - {path: "/limited/*", upstream: "http://echo:8080", rate_limit: {rps: 1, burst: 30, key_by: ip}}
`

// open builds the images and starts everything, nginx with further docker options;
// it is taken down after the test.
func open(t *testing.T, gateways string, nginx ...string) *site {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	port := harness.Ports(t, 1)[0]
	s := &site{t: t, name: fmt.Sprintf("gatewaysite%d", os.Getpid()), Front: fmt.Sprintf("http://127.0.0.1:%d", port)}
	t.Cleanup(s.close)
	for _, target := range []string{"gateway", "echo"} {
		s.docker("build", "-q", "-f", filepath.Join(root, "deploy/Dockerfile"),
			// The arguments that docker-compose.yml passes: with these the layers are the stack's own.
			"--build-arg", "GOPROXY="+os.Getenv("GOPROXY"), "--build-arg", "VERSION="+cmp.Or(os.Getenv("VERSION"), "dev"), "--target", target, "-t", s.of(target), root)
	}
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte(gateways), 0o644); err != nil { //nolint:gosec // read by the container's user
		t.Fatal(err)
	}
	s.docker("network", "create", s.of("front"))
	s.docker("network", "create", s.of("back"))
	s.run("redis", s.of("back"), "redis:7-alpine", "--network-alias", "redis")
	s.run("echo", s.of("front"), s.of("echo"), "--network-alias", "echo")
	for i := range 3 {
		name := node(i)
		s.docker("create", "--name", s.of(name), "--network", s.of("front"), "--network-alias", "gateway",
			"-v", config+":/etc/gateway/config.yaml:ro", s.of("gateway"))
		s.plug(name)
		s.docker("start", s.of(name))
	}
	s.run("nginx", s.of("front"), "nginx:1.27-alpine", append(nginx, "-p", fmt.Sprintf("127.0.0.1:%d:80", port),
		"-v", filepath.Join(root, "deploy/nginx/default.conf")+":/etc/nginx/conf.d/default.conf:ro")...)
	return s
}

func node(i int) string { return fmt.Sprintf("node%d", i+1) }

func (s *site) of(name string) string { return s.name + "-" + name }

func (s *site) run(name, network, image string, options ...string) {
	s.t.Helper()
	args := append([]string{"run", "-d", "--name", s.of(name), "--network", network}, options...)
	s.docker(append(args, image)...)
}

// plug connects a node to the network of the cluster; unplug cuts it off there.
func (s *site) plug(name string) {
	s.t.Helper()
	s.docker("network", "connect", "--alias", "peers", s.of("back"), s.of(name))
}

func (s *site) unplug(name string) {
	s.t.Helper()
	s.docker("network", "disconnect", s.of("back"), s.of(name))
}

// address is the node's own on the network of the cluster.
func (s *site) address(name string) string {
	s.t.Helper()
	return s.docker("inspect", "--format", `{{(index .NetworkSettings.Networks "`+s.of("back")+`").IPAddress}}`, s.of(name))
}

// inside runs a shell script in the node's own network, where its admin port is.
func (s *site) inside(name, script string) string {
	s.t.Helper()
	return s.docker("run", "--rm", "--network", "container:"+s.of(name), "--entrypoint", "sh", "redis:7-alpine", "-c", script)
}

// members returns the addresses that a node lists on /cluster, by its own word.
func (s *site) members(name string) []string {
	s.t.Helper()
	var view struct{ Members []struct{ Address string } }
	text := s.inside(name, "wget -q -O - http://127.0.0.1:9901/cluster || true")
	if json.Unmarshal([]byte(text), &view) != nil {
		return nil // not serving yet
	}
	var out []string
	for _, m := range view.Members {
		out = append(out, m.Address)
	}
	return out
}

// ask sends n requests to a node's data port and returns how many were admitted
// and how many denied.
func (s *site) ask(name, path string, n int) (admitted, denied int) {
	s.t.Helper()
	out := s.inside(name, fmt.Sprintf(
		`for i in $(seq %d); do wget -q -O /dev/null http://127.0.0.1:8080%s 2>&1 && echo admitted; done; true`, n, path))
	return strings.Count(out, "admitted"), strings.Count(out, " 429 ")
}

// docker runs a docker command that must succeed and returns what it printed.
func (s *site) docker(args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), upLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput() //nolint:gosec // a command of this test
	if err != nil {
		s.t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, tail(string(out), 60))
	}
	return strings.TrimSpace(string(out))
}

// close prints the logs of a test that failed and removes all of it. What was
// never there does no harm.
func (s *site) close() {
	remove := func(args ...string) { _ = exec.Command("docker", args...).Run() } //nolint:gosec // a command of this test
	for i := range 3 {
		if s.t.Failed() {
			out, _ := exec.Command("docker", "logs", s.of(node(i))).CombinedOutput() //nolint:gosec // a command of this test
			s.t.Logf("log of %s:\n%s", node(i), tail(withoutAccess(string(out)), 40))
		}
		remove("rm", "-f", "-v", s.of(node(i)))
	}
	for _, name := range []string{"nginx", "redis", "echo", "squatter"} {
		remove("rm", "-f", "-v", s.of(name))
	}
	remove("network", "rm", s.of("front"), s.of("back"))
	remove("rmi", s.of("gateway"), s.of("echo"))
}

func withoutAccess(log string) string {
	var kept []string
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `"request_id"`) {
			kept = append(kept, strings.TrimSpace(line))
		}
	}
	return strings.Join(kept, "\n")
}

// agree waits until each of the nodes lists exactly n members and returns how long
// that took.
func (s *site) agree(limit time.Duration, n int, nodes ...string) time.Duration {
	s.t.Helper()
	start := time.Now()
	harness.Eventually(s.t, limit, fmt.Sprintf("%v list %d members each", nodes, n), func() bool {
		for _, name := range nodes {
			if len(s.members(name)) != n {
				return false
			}
		}
		return true
	})
	return time.Since(start)
}
