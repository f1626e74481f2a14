package attack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-api-gateway-pro/gateway/node"
	"github.com/go-api-gateway-pro/gateway/node/config"
)

const shipped = "../scenarios.json"

func none(string) (string, bool) { return "", false }

// The scenarios offer shares of limits; they mean something only if those are the
// gateway's.
func TestLimitsAreThoseOfTheShippedConfig(t *testing.T) {
	f, err := Read(shipped)
	if err != nil {
		t.Fatal(err)
	}
	c, err := node.LoadConfig("../../../config.yaml", none)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]*config.RateLimit{"global": c.GlobalRateLimit}
	for _, r := range c.Routes {
		for _, target := range f.Scenarios["steady"].Targets {
			if strings.HasPrefix(target.Path, strings.TrimSuffix(r.Path, "*")) {
				want[target.Limit] = r.RateLimit
				if limits := r.Limits(); len(limits) > 0 {
					want[target.Limit] = &limits[0]
				}
			}
		}
	}
	if len(want) != len(f.Limits) {
		t.Errorf("config.yaml has limits %v, the scenarios %v", want, f.Limits)
	}
	for name, limit := range f.Limits {
		if w := want[name]; w == nil || float64(w.RPS) != limit.RPS || float64(w.Burst) != limit.Burst {
			t.Errorf("limit %s: the scenarios say %+v, config.yaml %+v", name, limit, w)
		}
	}
}

// Eight users and one address at 70 % each are 70 % of the global limit.
func TestSteadyKeepsTheGlobalLimitToo(t *testing.T) {
	f, err := Read(shipped)
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for _, target := range f.Scenarios["steady"].Targets {
		sum += f.rate(target)
	}
	if want := 0.7 * f.Limits["global"].RPS; sum < want-1e-6 || sum > want+1e-6 {
		t.Errorf("steady offers %v requests a second, want %v", sum, want)
	}
}

func TestUnlimitedConfigIsValidAndHasNoLimit(t *testing.T) {
	const path = "../unlimited.yaml"
	var report strings.Builder
	if err := node.CheckConfig(&report, path); err != nil {
		t.Fatalf("%v\n%s", err, &report)
	}
	c, err := node.LoadConfig(path, none)
	if err != nil {
		t.Fatal(err)
	}
	if c.GlobalRateLimit != nil {
		t.Error("there is a global limit")
	}
	for _, r := range c.Routes {
		if n := len(r.Limits()); n > 0 {
			t.Errorf("%s has %d limits", r.Path, n)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scenarios.json")
	good, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	f := func(old, replacement, want string) {
		t.Helper()
		text := strings.Replace(string(good), old, replacement, 1)
		if text == string(good) {
			t.Fatalf("%q is not in %s", old, shipped)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", replacement, err, want)
		}
	}
	f(`"rps": 100,`, `"rps": -1,`, "limits.user.rps: must be more than 0, got -1")
	f(`"burst": 250`, `"burst": 0`, "limits.ip.burst: must be at least 1, got 0")
	f(`"seconds": 30`, `"seconds": 0`, "scenarios.steady.seconds: must be more than 0, got 0")
	f(`"method": "GET"`, `"method": "POST"`, `scenarios.steady.targets[0].method: must be GET, HEAD or DELETE, got "POST"`)
	f(`"path": "/api/users/1"`, `"path": "users"`, `targets[0].path: must be a path that begins with /, got "users"`)
	f(`"limit": "user"`, `"limit": "usr"`, `targets[0].limit: must be one of limits, got "usr"`)
	f(`"share": 0.7`, `"share": 0.7, "rate": 5`, "targets[0]: must be given exactly one of share, rate, workers, got 2")
	f(`"errors": 0.01`, `"errors": 1`, "scenarios.steady.thresholds.errors: must be from 0 to below 1, got 1")
	f(`"least": 0.95`, `"least": 1.5`, "scenarios.flood.thresholds.admitted.most: must be at least least, got 1.02")
	f(`"seconds"`, `"secs"`, `unknown field "secs"`)
}

func TestUsersGiveWay(t *testing.T) {
	f := func(users, churn, turn, want int) {
		t.Helper()
		if got := (Target{Users: users, Churn: churn}).user(turn); got != want {
			t.Errorf("%d users, churn %d, turn %d: got user %d, want %d", users, churn, turn, got, want)
		}
	}
	f(3, 0, 7, 1)
	f(3, 2, 5, 2)
	f(3, 2, 6, 3)
	f(3, 2, 13, 7)
}
