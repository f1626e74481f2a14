package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const goodRoute = `routes: [{path: "/a/*", upstream: "http://127.0.0.1:1"}]` + "\n"

func TestBadConfigurationIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	// Both running and checking must say the same. How it looks is tested in tests/cli.
	f := func(text string, want ...string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, flag := range []string{"-config", "-check"} {
			r := gateway.Run(t, nil, flag, path)
			if r.Code != 1 || !slices.EqualFunc(faults(r.Stderr), want, strings.HasPrefix) {
				t.Errorf("%s with %q: exit code %d and\n%swant 1 and faults that begin with\n%s",
					flag, text, r.Code, r.Stderr, strings.Join(want, "\n"))
			}
		}
	}
	f("servr: {port: 1}\n"+goodRoute,
		"servr: unknown key, did you mean server?")
	f(goodRoute+`server: {port: "eighty"}`,
		`server.port: must be a whole number, got "eighty"`)
	f(goodRoute+`server: {port: 70000}`,
		`server.port: must be between 0 and 65535, got 70000`)
	f("routes:\n  - {path: /a/*, upstream: \"http://127.0.0.1:1\",\n     rate_limit: {rps: -5}}",
		"routes[0].rate_limit.rps: must be at least 1, got -5")
	f("routes:\n  - path: /a/*\n    upstream: no-url",
		`routes[0].upstream: must be an http or https URL with a host, got "no-url"`)
	f("routes:\n  - {path: /a/*, upstream: \"http://127.0.0.1:1\"}\n  - {path: /a/*, upstream: \"http://127.0.0.1:2\"}",
		"routes[1].path: must be another than that of routes[0]")
	f("routes:\n  - path: /a/*\n    upstream: http://127.0.0.1:1\n    rate_limit: {rps: 5, key_by: country}",
		`routes[0].rate_limit.key_by: must be one of global, user, ip, header:NAME, claim:NAME, got "country"`)
	f("jwt: {secret: \"${TEST_UNSET_SECRET}\"}\n"+goodRoute,
		"jwt.secret: environment variable TEST_UNSET_SECRET is not set and ${TEST_UNSET_SECRET} gives no default")
	f("server: {port: -1}\nlog: {level: loud}\nroutes:\n  - path: /a/*\n    upstream: http://127.0.0.1:1\n    rate_limit: {rps: 0}",
		"server.port: must be between 0 and 65535, got -1",
		"log.level: must be one of debug, info, warn, error, got \"loud\"",
		"routes[0].rate_limit.rps: must be at least 1, got 0")
	f("routes: [", "cannot parse YAML: ")
}

// faults are the texts behind "error: ", without the place.
func faults(stderr string) []string {
	var out []string
	for line := range strings.Lines(stderr) {
		if _, text, found := strings.Cut(line, "error: "); found {
			out = append(out, strings.TrimSuffix(text, "\n"))
		}
	}
	return out
}

func TestMissingFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent.yaml")
	for _, flag := range []string{"-config", "-check"} {
		r := gateway.Run(t, nil, flag, path)
		if r.Code != 1 || !strings.Contains(r.Stderr, path) || strings.Count(r.Stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d and %q, want 1 and a line that names the file", flag, r.Code, r.Stderr)
		}
	}
}

func TestGoodConfigurationPasses(t *testing.T) {
	for _, text := range []string{goodRoute, harness.Config{}.YAML() + "  []\n"} {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := gateway.Run(t, nil, "-check", path); r.Code != 0 || r.Stderr != "" {
			t.Errorf("%q: exit code %d and %q, want 0 and nothing", text, r.Code, r.Stderr)
		}
	}
	if r := gateway.Run(t, nil, "-check", "../../config.yaml"); r.Code != 0 || r.Stderr != "" {
		t.Errorf("the shipped file: exit code %d and %q, want 0 and nothing", r.Code, r.Stderr)
	}
}

func TestProductionRefusesWeakSecrets(t *testing.T) {
	f := func(secret string, wantCode int, want string) {
		t.Helper()
		r := gateway.Run(t, []string{"GATEWAY_ENV=production", "JWT_SECRET=" + secret}, "-check", "../../config.yaml")
		if got := strings.Join(faults(r.Stderr), "\n"); r.Code != wantCode || got != want {
			t.Errorf("secret of %d bytes: exit code %d and %q, want %d and %q", len(secret), r.Code, got, wantCode, want)
		}
	}
	const must = "jwt.secret: must be strong when GATEWAY_ENV=production: "
	f("", 1, must+"is the shipped one, which everybody knows")
	f("change-me-in-production", 1, must+"is the shipped one, which everybody knows")
	f("s3cret-of-mine", 1, must+"is shorter than 32 bytes (14)")
	f(harness.Secret, 0, "")
}
