package cli

import (
	"strings"
	"testing"
)

// shows fails unless -check prints exactly want, with FILE for the path.
func shows(t *testing.T, text, want string) {
	t.Helper()
	path := write(t, text)
	r := gateway.Run(t, []string{"LETTERS=abc"}, "-check", path)
	got := strings.ReplaceAll(r.Stderr, path, "FILE")
	if want = strings.TrimPrefix(want, "\n"); r.Code != 1 || got != want || r.Stdout != "" {
		t.Errorf("exit code %d, %q on stdout, and\n%swant 1, nothing and\n%s", r.Code, r.Stdout, got, want)
	}
}

func TestCheckShowsThePlace(t *testing.T) {
	shows(t, "server: {host: localhost, port: 70000}\n", `
FILE:1:33: error: server.port: must be between 0 and 65535, got 70000
    1 | server: {host: localhost, port: 70000}
      |                                 ^
`)
	shows(t, "routes:\n  - path: \"/ä/*\"\n    upstream: no-url\n    rate_limit: {rps: 0}\n", `
FILE:2:11: error: routes[0].path: must be a canonical path such as /api/users, /api/users/*, /users/:id/* or /a/*/b, got "/ä/*"
    2 |   - path: "/ä/*"
      |           ^
FILE:3:15: error: routes[0].upstream: must be an http or https URL with a host, got "no-url"
    3 |     upstream: no-url
      |               ^
FILE:4:23: error: routes[0].rate_limit.rps: must be at least 1, got 0
    4 |     rate_limit: {rps: 0}
      |                       ^
3 faults
`)
}

func TestCheckShowsUnknownKeys(t *testing.T) {
	shows(t, "sever: {}\nlog:\n  lvel: info\n  colour: red\n", `
FILE:1:1: error: sever: unknown key, did you mean server?
    1 | sever: {}
      | ^
FILE:3:3: error: log.lvel: unknown key, did you mean level?
    3 |   lvel: ****
      |   ^
FILE:4:3: error: log.colour: unknown key, allowed: access, access_sample, level
    4 |   colour: ***
      |   ^
3 faults
`)
}

func TestCheckShowsVariables(t *testing.T) {
	shows(t, "server:\n  port: ${LETTERS}\n  host: \"x-${TEST_UNSET}\"\n  body_limit_bytes: 5${LETTERS:-}\nredis: {db: 1${OPEN}\n", `
FILE:5:1: error: cannot parse YAML: did not find expected ',' or '}' in what begins here
    5 | redis: …
      | ^
`)
	shows(t, "server:\n  port: ${LETTERS}\n  host: \"x-${TEST_UNSET}\"\n  read_timeout_ms: 5${LETTERS:-}\nredis: {username: 'a ${OPEN'}\n", `
FILE:2:9: error: server.port: must be a whole number, got "abc"
    2 |   port: ${LETTERS}
      |         ^
FILE:3:12: error: server.host: environment variable TEST_UNSET is not set and ${TEST_UNSET} gives no default
    3 |   host: "x-${TEST_UNSET}"
      |            ^
FILE:4:20: error: server.read_timeout_ms: must be a whole number, got "5abc"
    4 |   read_timeout_ms: 5${LETTERS:-}
      |                    ^
FILE:5:22: error: redis.username: must close ${ with }, or write $${ for a literal ${
    5 | redis: {username: 'a ${OPEN'}
      |                      ^
4 faults
`)
}

// What stands beside a fault may be a secret, and logs of checks are read by many.
func TestCheckTellsNoSecret(t *testing.T) {
	const planted = "planted"
	f := func(text string) {
		t.Helper()
		r := gateway.Run(t, nil, "-check", write(t, text))
		if r.Code != 1 || strings.Contains(r.Stderr+r.Stdout, planted) {
			t.Errorf("%q: exit code %d and\n%s", text, r.Code, r.Stderr)
		}
	}
	f("jwt: {secret: planted, isuer: x}")
	f(`jwt: {secret: "pl\"anted-planted", isuer: x}`)
	f("jwt: {secret: 'it''s planted', isuer: x}")
	f("jwt:\n  secret: >\n    planted\n    planted\n  isuer: x")
	f("jwt: {secert: planted, isuer: x}")
	f("admin: {token: planted}")
	f("redis: {pasword: planted}")
	f("redis: {password: {a: planted}}")
	f("cluster:\n  secret_key:\n    - planted\n    - planted-too")
	f("cluster: {secret_key: [planted, x]}")
	f("api_keys: [{name: a, hash: planted}]")
	f("routes: [{path: /a, upstream: \"http://a\", request_headers: {set: {X-Key: planted}, ad: {}}}]")
	f("secret: &s planted\njwt: {secret: *s, isuer: x}")
	f("jwt: {secret: planted")
	f("jwt:\n  secret: planted\n issuer: x")
	f("jwt: {secret: \"${TEST_UNSET}-planted\"}")
}
