package harness

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startLimit = 30 * time.Second
	shownLines = 40 // of the log, when a test fails
)

// Gateway is a running gateway process.
type Gateway struct {
	Addr  string // of the data port
	Admin string // of the admin port
	File  string // its configuration
	Token string // that the admin port is asked with; none if empty

	tb      testing.TB
	cmd     *exec.Cmd
	serving chan struct{}
	exited  chan struct{}

	mu    sync.Mutex // guards lines
	lines []string
}

// Start runs the gateway with a configuration of its own and returns when it
// serves. The process is killed when the test ends.
func (b Binary) Start(tb testing.TB, config string, env ...string) *Gateway {
	tb.Helper()
	g := b.prepare(tb, config, env...)
	reader, writer := io.Pipe()
	g.cmd.Stdout, g.cmd.Stderr = writer, writer
	if err := g.cmd.Start(); err != nil {
		tb.Fatalf("cannot start the gateway: %v", err)
	}
	var read sync.WaitGroup
	read.Go(func() { g.readLog(reader) })
	go func() {
		_ = g.cmd.Wait() // the exit code says it all
		_ = writer.Close()
		read.Wait()
		close(g.exited)
	}()
	tb.Cleanup(g.end)
	select {
	case <-g.serving:
	case <-g.exited:
		tb.Fatalf("the gateway ended with exit code %d instead of serving", g.cmd.ProcessState.ExitCode())
	case <-time.After(startLimit):
		tb.Fatalf("the gateway does not serve after %s", startLimit)
	}
	return g
}

// StartBlind runs the gateway with its log in out, from which nothing is read, and
// returns when addr answers. The process is killed when the test ends.
func (b Binary) StartBlind(tb testing.TB, config, addr string, out *os.File) *Gateway {
	tb.Helper()
	g := b.prepare(tb, config)
	g.Addr = addr
	g.cmd.Stdout, g.cmd.Stderr = out, out
	if err := g.cmd.Start(); err != nil {
		tb.Fatalf("cannot start the gateway: %v", err)
	}
	go func() {
		_ = g.cmd.Wait() // the exit code says it all
		close(g.exited)
	}()
	tb.Cleanup(g.end)
	Eventually(tb, startLimit, addr+" answers", func() bool {
		resp, err := http.Get(g.URL("/health"))
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
	return g
}

// prepare makes a gateway that is not started yet.
func (b Binary) prepare(tb testing.TB, config string, env ...string) *Gateway {
	tb.Helper()
	g := &Gateway{
		tb: tb, File: filepath.Join(tb.TempDir(), "config.yaml"),
		serving: make(chan struct{}), exited: make(chan struct{}),
	}
	if err := os.WriteFile(g.File, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	g.cmd = exec.Command(string(b), "-config", g.File)
	g.cmd.Env = append(cleanEnv(), env...)
	return g
}

// readLog keeps every line and takes the addresses from the one that says so.
func (g *Gateway) readLog(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		g.mu.Lock()
		g.lines = append(g.lines, lines.Text())
		g.mu.Unlock()
		var line struct{ Message, Addr, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "serving" && g.Addr == "" {
			g.Addr, g.Admin = line.Addr, line.Admin
			close(g.serving)
		}
	}
}

func (g *Gateway) end() {
	g.Signal(syscall.SIGKILL)
	<-g.exited
	if g.tb.Failed() {
		lines := g.Log()
		g.tb.Logf("the end of the log of %s:\n%s", g.Addr, strings.Join(lines[max(0, len(lines)-shownLines):], "\n"))
	}
}

// PID is the number of the process.
func (g *Gateway) PID() int { return g.cmd.Process.Pid }

// Signal sends a signal; a process that has ended does not mind.
func (g *Gateway) Signal(sig syscall.Signal) { _ = g.cmd.Process.Signal(sig) }

// Exit waits for the process to end and returns its exit code, -1 if a signal
// killed it. It fails the test after limit.
func (g *Gateway) Exit(limit time.Duration) int {
	g.tb.Helper()
	select {
	case <-g.exited:
		return g.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		g.tb.Fatalf("the gateway still runs after %s", limit)
		return 0
	}
}

// Log returns the lines logged so far.
func (g *Gateway) Log() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.lines...)
}

// Logged reports whether one line holds all parts.
func (g *Gateway) Logged(parts ...string) bool {
	for _, line := range g.Log() {
		if containsAll(line, parts) {
			return true
		}
	}
	return false
}

// Replace puts another configuration in the file's place in one step, as
// careful tools do.
func (g *Gateway) Replace(config string) {
	g.tb.Helper()
	next := g.File + ".next"
	if err := os.WriteFile(next, []byte(config), 0o600); err != nil {
		g.tb.Fatal(err)
	}
	if err := os.Rename(next, g.File); err != nil {
		g.tb.Fatal(err)
	}
}

func containsAll(s string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
