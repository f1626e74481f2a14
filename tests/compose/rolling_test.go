package compose

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const (
	rollLimit = 4 * time.Minute
	rollRate  = 250 // per second of GET, and as many of POST
	rollLeast = 20_000
)

// testReplace replaces config.yaml as editors do: all three nodes follow, and none
// was restarted.
func (s *stack) testReplace(t *testing.T) {
	before := s.started()
	replaced := variant(t, filepath.Join(s.dir, "config.yaml"), t.TempDir(),
		"response_headers: {set: {}, add: {}, remove: []}", `response_headers: {set: {X-Edition: "2"}, add: {}, remove: []}`)
	beside := filepath.Join(s.dir, ".config.yaml.swp")
	if text, err := os.ReadFile(replaced); err != nil || os.WriteFile(beside, text, 0o644) != nil { //nolint:gosec // read by the container's user
		t.Fatalf("cannot write %s: %v", beside, err)
	}
	began := time.Now()
	if err := os.Rename(beside, filepath.Join(s.dir, "config.yaml")); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, readyLimit, "each of three nodes, in turn, answers by the new file", func() bool {
		for range 6 {
			if harness.Ask(t, "GET", s.Front+"/api/users/x", "").Header.Get("X-Edition") != "2" {
				return false
			}
		}
		return true
	})
	t.Logf("the new file was live in all nodes after %s", time.Since(began))
	if after := s.started(); !slices.Equal(before, after) {
		t.Errorf("the gateways were started at %v, now at %v", before, after)
	}
}

func (s *stack) started() []string {
	s.t.Helper()
	return strings.Fields(s.docker(append([]string{"inspect", "--format", "{{.State.StartedAt}}"}, s.containers("gateway")...)...))
}

// testRolling replaces the three nodes by deploy/rolling.sh while requests come,
// a half of them such as may not be sent twice.
func (s *stack) testRolling(t *testing.T) {
	old := s.containers("gateway")
	token := harness.Forge(t, "HS256", "change-me-in-production", map[string]any{
		"sub": "roller", "iss": "api-gateway", "exp": time.Now().Add(time.Hour).Unix(),
	})
	began := time.Now()
	outcomes := s.during(t, token, s.roll)
	failed := outcomes.Failed()
	t.Logf("%d of %d requests failed in %s, the slowest took %s", len(failed), len(outcomes), time.Since(began), outcomes.Slowest().Took)
	if len(failed) > 0 {
		t.Errorf("the first that failed: %+v", failed[0])
	}
	if got := outcomes.Count(http.StatusOK); got < rollLeast || got != len(outcomes) {
		t.Errorf("%d of %d were answered with 200, want all, and at least %d", got, len(outcomes), rollLeast)
	}
	renewed := s.containers("gateway")
	if len(renewed) != len(old) || slices.ContainsFunc(renewed, func(id string) bool { return slices.Contains(old, id) }) {
		t.Errorf("the gateways were %v and are %v, want as many others", old, renewed)
	}
}

// during sends GET and POST until the work is done and rollLeast were sent, and
// returns what became of all.
func (s *stack) during(t *testing.T, token string, work func()) harness.Outcomes {
	ctx, cancel := context.WithTimeout(t.Context(), rollLimit)
	defer cancel()
	methods := []string{http.MethodGet, http.MethodPost}
	parts := make([]harness.Outcomes, len(methods))
	var loads sync.WaitGroup
	for i, method := range methods {
		loads.Go(func() {
			parts[i] = harness.Load{
				Method: method, URLs: []string{s.Front + "/api/users/x"}, Token: token, Rate: rollRate,
				Count: rollRate * int(rollLimit/time.Second),
			}.Run(ctx)
		})
	}
	enough := time.After(rollLeast / 2 / rollRate * time.Second * 11 / 10)
	work()
	<-enough
	cancel()
	loads.Wait()
	return slices.Concat(parts...)
}

func (s *stack) roll() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), rollLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../../deploy/rolling.sh")
	cmd.Env = append(os.Environ(), "COMPOSE="+strings.Join(s.compose, " "))
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Errorf("cannot roll: %v\n%s", err, tail(string(out), 60))
	}
}
