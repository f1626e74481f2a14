package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/creack/pty"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

var gateway harness.Binary // built once

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gateway-cli-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if gateway, err = harness.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// write puts text into a file of its own, under a name that messages show.
func write(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHelpFitsATerminal(t *testing.T) {
	for _, flag := range []string{"-h", "-help", "--help"} {
		r := gateway.Run(t, nil, flag)
		if r.Code != 0 || r.Stderr != "" {
			t.Errorf("%s: exit code %d and %q on stderr, want 0 and nothing", flag, r.Code, r.Stderr)
		}
		lines := strings.Split(strings.TrimSuffix(r.Stdout, "\n"), "\n")
		if len(lines) > 24 {
			t.Errorf("%s: %d lines, want at most 24", flag, len(lines))
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > 80 {
				t.Errorf("%s: a line of %d columns: %s", flag, n, line)
			}
		}
		for _, want := range []string{"-config", "-check", "-token", "-push", "-to", "-healthcheck", "-version", "exit codes", "ADMIN_TOKEN"} {
			if !strings.Contains(r.Stdout, want) {
				t.Errorf("%s does not mention %s", flag, want)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	r := gateway.Run(t, nil, "-version")
	line := regexp.MustCompile(`^gateway \S+ \(commit \S+, (go\S+) \w+/\w+\)\n$`).FindStringSubmatch(r.Stdout)
	if r.Code != 0 || line == nil || line[1] != runtime.Version() {
		t.Errorf("exit code %d and %q, want 0 and version, commit and %s", r.Code, r.Stdout, runtime.Version())
	}
}

func TestVersionIsStamped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X main.version=v9.8.7 -X main.commit=abc1234", "-o", path, "../../cmd/gateway")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r := harness.Binary(path).Run(t, nil, "-version"); !strings.HasPrefix(r.Stdout, "gateway v9.8.7 (commit abc1234, go") {
		t.Errorf("got %q", r.Stdout)
	}
}

func TestExitCodes(t *testing.T) {
	good := write(t, "routes: [{path: /a, upstream: \"http://127.0.0.1:1\"}]\n")
	bad := write(t, "routes: 5\n")
	f := func(want int, args ...string) {
		t.Helper()
		r := gateway.Run(t, nil, args...)
		if r.Code != want {
			t.Errorf("%v: exit code %d, want %d: %s%s", args, r.Code, want, r.Stdout, r.Stderr)
		}
		if want != 0 && r.Stderr == "" {
			t.Errorf("%v: exit code %d without a word on stderr", args, r.Code)
		}
	}
	f(0, "-check", good)
	f(1, "-check", bad)
	f(1, "-check", bad+".absent")
	f(1, "-config", bad)
	f(1, "-config", bad, "-token", "alice")
	f(1, "-config", good, "-token", "alice") // no secret to sign with
	f(1, "-config", bad, "-healthcheck")
	f(1, "-push", good, "-to", "127.0.0.1:1")
	f(2, "-nope")
	f(2, "-check")
	f(2, "stray")
	f(2, "-check", good, "stray")
}

func TestToken(t *testing.T) {
	path := write(t, "jwt: {secret: "+harness.Secret+"}\nroutes: []\n")
	r := gateway.Run(t, nil, "-config", path, "-token", "alice")
	if r.Code != 0 || strings.Count(r.Stdout, ".") != 2 || strings.Count(r.Stdout, "\n") != 1 || r.Stderr != "" {
		t.Errorf("exit code %d, %q and %q, want a token on a line of its own", r.Code, r.Stdout, r.Stderr)
	}
}

// onTerminal runs the binary with a terminal for its output.
func onTerminal(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), string(gateway), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TERM=xterm"}, env...)
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	var out strings.Builder
	buffer := make([]byte, 4096)
	for {
		n, err := terminal.Read(buffer)
		out.Write(buffer[:n])
		if err != nil { // EIO: the other end is closed
			_ = cmd.Wait() // exit code 1 is what we came for
			return out.String()
		}
	}
}

func TestColourOnTerminalsOnly(t *testing.T) {
	bad := write(t, "routes: 5\n")
	const escape = "\x1b["
	if got := onTerminal(t, nil, "-check", bad); !strings.Contains(got, escape) {
		t.Errorf("no colour on a terminal: %q", got)
	}
	for _, env := range []string{"NO_COLOR=1", "TERM=dumb"} {
		if got := onTerminal(t, []string{env}, "-check", bad); strings.Contains(got, escape) || !strings.Contains(got, "routes: must be a list") {
			t.Errorf("%s: got %q", env, got)
		}
	}
	if r := gateway.Run(t, []string{"TERM=xterm"}, "-check", bad); strings.Contains(r.Stderr, escape) {
		t.Errorf("colour in a pipe: %q", r.Stderr)
	}
}
