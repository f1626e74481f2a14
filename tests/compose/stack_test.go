package compose

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const (
	upLimit   = 12 * time.Minute // the images are built in it
	downLimit = 2 * time.Minute
)

// stack is a running compose project.
type stack struct {
	Front      string // address of nginx
	Prometheus string

	t       *testing.T
	dir     string // holds config.yaml
	project string
	compose []string // the command and its first arguments
}

// up starts services of the shipped stack and takes them down after the test.
func up(t *testing.T, services ...string) *stack {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	ports := harness.Ports(t, 3)
	nginx, prometheus := ports[0], ports[1]
	dir := t.TempDir()
	variant(t, filepath.Join(root, "config.yaml"), dir,
		`{rps: 100, burst: 150, key_by: "user"}`, `{rps: 5000, burst: 5000, key_by: "user"}`,
		`{rps: 200, burst: 250, key_by: "ip"}`, `{rps: 1, burst: 20, key_by: "ip"}`,
		"budget_ms: 10 ", "budget_ms: 500 ") // a busy machine must not turn this into a test of the fallback
	file := variant(t, filepath.Join(root, "docker-compose.yml"), dir,
		`"8080:80"`, fmt.Sprintf(`"%d:80"`, nginx),
		"127.0.0.1:9090:9090", fmt.Sprintf("127.0.0.1:%d:9090", prometheus),
		"127.0.0.1:6379:6379", fmt.Sprintf("127.0.0.1:%d:6379", ports[2]),
		".:/project:", dir+":/project:",
		"\n  prometheus-data:\n", "\n  prometheus-data: {driver_opts: {type: tmpfs, device: tmpfs, o: 'uid=65534'}}\n", // not worth a disk
		"172.28.", "172.27.")
	s := &stack{
		Front: fmt.Sprintf("http://127.0.0.1:%d", nginx), Prometheus: fmt.Sprintf("http://127.0.0.1:%d", prometheus),
		t: t, dir: dir, project: fmt.Sprintf("gatewaytest%d", os.Getpid()),
	}
	s.compose = append(composeCommand(t), "--project-directory", root, "-f", file, "-p", s.project)
	t.Cleanup(s.down)
	s.run(t.Context(), upLimit, append([]string{"up", "-d", "--build", "--scale", "gateway=3"}, services...)...)
	return s
}

// variant copies a shipped file with pairs of texts replaced. Each must occur:
// otherwise the file has changed and this test with it.
func variant(t *testing.T, path, dir string, pairs ...string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%s no longer holds %q, which this test replaces", path, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	copied := filepath.Join(dir, filepath.Base(path))
	if err := os.WriteFile(copied, []byte(text), 0o644); err != nil { //nolint:gosec // read by the container's user
		t.Fatal(err)
	}
	return copied
}

// composeCommand finds version 1 or 2.
func composeCommand(t *testing.T) []string {
	t.Helper()
	for _, c := range [][]string{{"docker", "compose"}, {"docker-compose"}} {
		if exec.CommandContext(t.Context(), c[0], append(c[1:], "version")...).Run() == nil {
			return c
		}
	}
	t.Fatal("found neither docker compose nor docker-compose")
	return nil
}

func (s *stack) run(ctx context.Context, limit time.Duration, args ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	full := append(s.compose[1:len(s.compose):len(s.compose)], args...)
	out, err := exec.CommandContext(ctx, s.compose[0], full...).CombinedOutput()
	if err != nil {
		s.t.Errorf("cannot %s within %s: %v\n%s", args[0], limit, err, tail(string(out), 60))
		s.t.FailNow()
	}
}

// down prints the logs of a stack that failed and deletes it.
func (s *stack) down() {
	if s.t.Failed() {
		args := append(s.compose[1:len(s.compose):len(s.compose)], "logs", "--no-color", "--tail", "20")
		out, _ := exec.Command(s.compose[0], args...).CombinedOutput() //nolint:gosec // a command of this test
		s.t.Logf("states:\n%s\nlogs:\n%s", s.docker("ps", "-a", "--filter", s.label()), out)
	}
	s.run(context.Background(), downLimit, "down", "-v", "--remove-orphans", "--rmi", "local")
}

func (s *stack) label() string { return "label=com.docker.compose.project=" + s.project }

// docker runs a docker command that must succeed and returns what it printed.
func (s *stack) docker(args ...string) string {
	s.t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput() //nolint:gosec // a command of this test
	if err != nil {
		s.t.Errorf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// containers returns the ids of a service's containers, of all for "".
func (s *stack) containers(service string) []string {
	s.t.Helper()
	args := []string{"ps", "-q", "--filter", s.label()}
	if service != "" {
		args = append(args, "--filter", "label=com.docker.compose.service="+service)
	}
	return strings.Fields(s.docker(args...))
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
