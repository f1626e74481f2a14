package config

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const ownFile = `# This file is node 1's.

# where it listens
server:
  port: ${PORT:-8080}   # set by the unit file

# --- shared from here

# who signs
jwt: {secret: "old"}
cors: {max_age_s: 5}

log: {level: warn}  # quieter
routes:
  - path: /old
    upstream: http://127.0.0.1:1
# the end`

func TestSpliceKeepsWhatIsTheNodes(t *testing.T) {
	pushed := `# A push.

routes:
  # all of them
  - {path: /new, upstream: "http://127.0.0.1:2"}
log: {level: warn}
# signs
jwt: {secret: "${NEW}"}
global_rate_limit: {rps: 5}`
	want := `# This file is node 1's.

# where it listens
server:
  port: ${PORT:-8080}   # set by the unit file

# --- shared from here

# signs
jwt: {secret: "${NEW}"}
log: {level: warn}  # quieter
routes:
  # all of them
  - {path: /new, upstream: "http://127.0.0.1:2"}
global_rate_limit: {rps: 5}
`
	got, err := Splice([]byte(ownFile), []byte(pushed))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
	again, err := Splice(got, []byte(pushed))
	if err != nil || !bytes.Equal(again, got) {
		t.Errorf("a second time: %v\n%s", err, again)
	}
}

// Pushing a node's own file to it changes no byte of it.
func TestSpliceOfTheSameFile(t *testing.T) {
	shipped, err := os.ReadFile("../../config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Splice(shipped, shipped)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(shipped), string(got)); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
}

func TestSpliceRefuses(t *testing.T) {
	f := func(own, pushed, want string) {
		t.Helper()
		_, err := Splice([]byte(own), []byte(pushed))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", pushed, err, want)
		}
	}
	f(ownFile, "server: {port: 8080}", "server: belongs to each node: must be absent or equal to the node's own, differs in port (line 1)")
	f(ownFile, "server: {port: \"${PORT:-8080}\", host: x}", "differs in host")
	f(ownFile, "server: ", "differs in port")
	f(ownFile, "server: 5", "differs in its value, port")
	f(ownFile, "admin: {token: secret-of-mine}", "admin: belongs to each node")
	f(ownFile, "log: {level: info}\nredis: {db: 1}", "redis: belongs to each node")
	f(ownFile, "routes: [", "cannot parse YAML")
	f(ownFile, "- a", "must be a section of keys, got a list")
	f(ownFile, "{jwt: {}, routes: []}", "jwt: must begin a line of its own")
	f("log: *x\nx: &x 5", "jwt: {}", "cannot change this node's file: cannot parse YAML")
	f("jwt: &s {secret: a}\nlog: *s", "routes: []", "cannot put the sections into this node's file")
	f("jwt: &s {secret: a}\nlog: *s", "jwt: &s {secret: b}", "log: belongs to each node")
	f("jwt: {}", "log: &l {}\nrouting: *l", "cannot put the sections into this node's file")
	f("{jwt: {}, log: {}}", "routes: []", "cannot change this node's file: jwt: must begin a line of its own")
	if _, err := Splice([]byte(ownFile), []byte("admin: {token: secret-of-mine}")); strings.Contains(err.Error(), "secret-of-mine") {
		t.Errorf("the error shows a secret: %v", err)
	}
}

// A fault is found at the line of the pushed text, not of the node's file.
func TestAtNamesTheLineOfThePush(t *testing.T) {
	pushed := "routes:\n  - path: /x\n    upstream: http://127.0.0.1:1\n    rate_limit:\n      rps: 0\n    colour: red\n"
	text, err := Splice([]byte(ownFile), []byte(pushed))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse(text, func(string) (string, bool) { return "", false })
	got := At(err, []byte(pushed)).Error()
	for _, want := range []string{"routes[0].rate_limit.rps: must be at least 1, got 0 (line 5)", "routes[0].colour: unknown key", "(line 2)"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s\nwant %q", got, want)
		}
	}
}

// Whatever is spliced and parses says what the push said, and keeps what was
// the node's.
func FuzzSplice(f *testing.F) {
	f.Add(ownFile, "jwt: {secret: a}\nroutes: []")
	f.Add("a: &x {b: c}\nserver: {port: 1}", "jwt: *x\n---\n")
	f.Add("log: |\n  text\n# c\njwt: {}\n...", "routes:\n- {}\n...")
	f.Fuzz(func(t *testing.T, own, pushed string) {
		text, err := Splice([]byte(own), []byte(pushed))
		if err != nil {
			return
		}
		once, err := Splice(text, []byte(pushed))
		if err == nil && !bytes.Equal(once, text) {
			t.Errorf("a second splice differs:\n%q\n%q", text, once)
		}
	})
}
