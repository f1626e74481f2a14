package compose

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const (
	readyLimit = time.Minute
	maxImage   = 20 << 20 // bytes
)

func TestFullStack(t *testing.T) {
	s := up(t, "redis", "users-service", "public-service", "gateway", "nginx", "prometheus")
	s.waitReady()
	t.Run("three nodes are one cluster", s.testMembers)
	t.Run("one limit for all", s.testLimit)
	t.Run("only nginx faces the network", s.testPublished)
	t.Run("nothing has more rights than it needs", s.testRights)
	t.Run("a configuration that is replaced", s.testReplace)
	t.Run("a rolling restart loses nothing", s.testRolling)
	t.Run("image", s.testImage)
}

// waitReady returns when nginx passes requests on and the three nodes limit by
// Redis.
func (s *stack) waitReady() {
	s.t.Helper()
	harness.Eventually(s.t, readyLimit, "an answer through nginx", func() bool {
		resp, err := http.Get(s.Front + "/ready")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	harness.Eventually(s.t, readyLimit, "three nodes that limit by Redis", func() bool {
		modes := s.query(`gateway_limiter_mode{mode="redis"}`)
		return len(modes) == 3 && sum(modes) == 3
	})
}

// query asks Prometheus and returns the values by instance; none if it does not
// answer yet.
func (s *stack) query(expression string) map[string]float64 {
	s.t.Helper()
	resp, err := http.Get(s.Prometheus + "/api/v1/query?query=" + url.QueryEscape(expression))
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  []any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		s.t.Errorf("cannot read Prometheus' answer to %s: %v", expression, err)
	}
	values := map[string]float64{}
	for _, r := range answer.Data.Result {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			s.t.Errorf("cannot read Prometheus' value %q of %s", text, expression)
		}
		values[r.Metric["instance"]] += v
	}
	return values
}

func sum(values map[string]float64) float64 {
	var total float64
	for _, v := range values {
		total += v
	}
	return total
}

func (s *stack) testMembers(t *testing.T) {
	harness.Eventually(t, readyLimit, "each of three nodes counts three members and one configuration", func() bool {
		members, versions := s.query("gateway_cluster_members"), s.query("gateway_cluster_config_versions")
		return len(members) == 3 && sum(members) == 9 && sum(versions) == 3
	})
}

// 60 requests of one client at a limit of 1 a second and 20 at once, spread by
// nginx over the three nodes.
func (s *stack) testLimit(t *testing.T) {
	before := s.scripts()
	got := harness.Load{URLs: []string{s.Front + "/api/public/x"}, Count: 60, Rate: 60}.Run(t.Context())
	scripts := s.scripts() - before

	admitted := got.Count(200)
	t.Logf("admitted %d of %d in %s, Redis ran %d scripts", admitted, len(got), got.Span(), scripts)
	if most := 21 + int(got.Span().Seconds()); admitted < 20 || admitted > most {
		t.Errorf("admitted %d in %s, want 20 to %d", admitted, got.Span(), most)
	}
	if admitted+got.Count(429) != len(got) {
		t.Errorf("want 200 and 429 alone, got %+v", got)
	}
	if scripts < admitted || scripts > len(got) {
		t.Errorf("Redis ran %d scripts for %d requests, of which %d were admitted; want at most one each", scripts, len(got), admitted)
	}
	harness.Eventually(t, readyLimit, "each of three nodes admitted some", func() bool {
		by := s.query(`http_requests_total{route="/api/public/*",status="2xx"}`)
		return len(by) == 3 && sum(by) == float64(admitted)
	})
}

// scripts returns how often Redis ran a script, by its own count.
func (s *stack) scripts() int {
	s.t.Helper()
	info := s.docker("exec", s.containers("redis")[0], "redis-cli", "info", "commandstats")
	found := regexp.MustCompile(`cmdstat_evalsha:calls=(\d+)`).FindStringSubmatch(info)
	if found == nil {
		return 0
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		s.t.Errorf("cannot read %q", found[0])
	}
	return n
}

// Everything else is for this machine alone.
func (s *stack) testPublished(t *testing.T) {
	const format = `{{index .Config.Labels "com.docker.compose.service"}}{{range $bindings := .HostConfig.PortBindings}}{{range $bindings}} {{.HostIp}}:{{.HostPort}}{{end}}{{end}}`
	open := map[string]bool{}
	for _, id := range s.containers("") {
		fields := strings.Fields(s.docker("inspect", "--format", format, id))
		for _, binding := range fields[1:] {
			if !strings.HasPrefix(binding, "127.0.0.1:") {
				open[fields[0]] = true
			}
		}
	}
	if len(open) != 1 || !open["nginx"] {
		t.Errorf("published beyond 127.0.0.1: %v, want nginx alone", open)
	}
}

func (s *stack) testImage(t *testing.T) {
	nodes := s.containers("gateway")
	if len(nodes) != 3 {
		t.Fatalf("got %d gateway containers, want 3", len(nodes))
	}
	image := s.docker("inspect", "--format", "{{.Image}}", nodes[0])
	size, err := strconv.Atoi(s.docker("image", "inspect", "--format", "{{.Size}}", image))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("image: %.1f MB", float64(size)/1e6)
	if size > maxImage {
		t.Errorf("the image has %d bytes, want at most %d", size, maxImage)
	}
	user := s.docker("image", "inspect", "--format", "{{.Config.User}}", image)
	if uid, _, _ := strings.Cut(user, ":"); uid == "" || uid == "0" || uid == "root" {
		t.Errorf("the image runs as %q, want a user without rights", user)
	}
	refuse := exec.CommandContext(t.Context(), "docker", "run", "--rm", "--network", "none", image)
	out, err := refuse.CombinedOutput()
	if err == nil || refuse.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "jwt.secret: must be strong when GATEWAY_ENV=production") {
		t.Errorf("the image with the shipped secret: %v and\n%s\nwant exit code 1 and a refusal of jwt.secret", err, out)
	}
}
