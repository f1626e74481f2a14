package faults

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const (
	startLimit = 30 * time.Second
	stopLimit  = 30 * time.Second
	logEnd     = 3000 // bytes of the log that are shown
)

// node is a gateway process. It logs to a file, so that the file can be full.
type node struct {
	tb          testing.TB
	binary      harness.Binary
	addr, admin string
	file        string // its configuration
	log         string
	cmd         *exec.Cmd
	exited      chan struct{}
}

// start runs the process and returns when it serves.
func (n *node) start() {
	n.tb.Helper()
	log, err := os.OpenFile(n.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		n.tb.Fatal(err)
	}
	defer log.Close() // the process has its own
	n.cmd = exec.Command(string(n.binary), "-config", n.file)
	n.cmd.Stdout, n.cmd.Stderr = log, log
	if err := n.cmd.Start(); err != nil {
		n.tb.Fatalf("cannot start the gateway: %v", err)
	}
	n.exited = make(chan struct{})
	go func() {
		_ = n.cmd.Wait() // how it ends is the fault's business
		close(n.exited)
	}()
	harness.Eventually(n.tb, startLimit, n.addr+" serves", func() bool { return answers("http://" + n.addr + "/ready") })
}

func (n *node) signal(sig syscall.Signal) { _ = n.cmd.Process.Signal(sig) } // it may be gone

// stop ends the process as a deployment does.
func (n *node) stop() {
	n.tb.Helper()
	n.signal(syscall.SIGTERM)
	select {
	case <-n.exited:
	case <-time.After(stopLimit):
		n.tb.Errorf("%s still runs %s after SIGTERM", n.addr, stopLimit)
	}
}

// kill ends it at once, stopped or not.
func (n *node) kill() {
	n.signal(syscall.SIGKILL)
	<-n.exited
}

// alive reports whether the process runs.
func (n *node) alive() bool {
	select {
	case <-n.exited:
		return false
	default:
		return true
	}
}

// descriptors is how many files the process may have open.
func (n *node) descriptors(most uint64) {
	n.tb.Helper()
	var was unix.Rlimit
	if err := unix.Prlimit(n.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &was); err != nil {
		n.tb.Errorf("cannot read the limit of %s: %v", n.addr, err)
	}
	limit := unix.Rlimit{Cur: min(most, was.Max), Max: was.Max}
	if err := unix.Prlimit(n.cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		n.tb.Errorf("cannot limit %s: %v", n.addr, err)
	}
}

// replace puts another configuration in the place of the old one by a rename.
func (n *node) replace(text string) {
	n.tb.Helper()
	next := filepath.Join(filepath.Dir(n.file), "next.yaml")
	n.write(next, text)
	if err := os.Rename(next, n.file); err != nil {
		n.tb.Errorf("cannot replace the configuration: %v", err)
	}
}

// relink makes the file a link, and has it point elsewhere in one step, as
// Kubernetes does with what it mounts.
func (n *node) relink() {
	n.tb.Helper()
	target := n.file + ".v2"
	n.write(target, n.text()+"# from elsewhere\n")
	link := n.file + ".link"
	if err := os.Symlink(target, link); err != nil {
		n.tb.Errorf("cannot link: %v", err)
	}
	if err := os.Rename(link, n.file); err != nil {
		n.tb.Errorf("cannot swap the link: %v", err)
	}
}

func (n *node) write(path, text string) {
	n.tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		n.tb.Errorf("cannot write the configuration: %v", err)
	}
}

// text is its configuration as it stands.
func (n *node) text() string {
	n.tb.Helper()
	text, err := os.ReadFile(n.file)
	if err != nil {
		n.tb.Errorf("cannot read the configuration: %v", err)
	}
	return string(text)
}

// sound says what is not as it should be with a node that sees so many members,
// empty if nothing is.
func (n *node) sound(members int) string {
	var ready harness.Ready
	if err := ask("http://"+n.addr+"/ready", &ready); err != nil {
		return err.Error()
	}
	if ready.Limits != "redis" {
		return fmt.Sprintf("%s limits by %s", n.addr, ready.Limits)
	}
	var c harness.Cluster
	if err := ask("http://"+n.admin+"/cluster", &c); err != nil {
		return err.Error()
	}
	if len(c.Members) != members {
		return fmt.Sprintf("%s sees %d members, not %d", n.addr, len(c.Members), members)
	}
	for _, b := range c.Breakers {
		if b.State == "open" || b.State == "half_open" {
			return fmt.Sprintf("%s has the breaker of %s %s", n.addr, b.Backend, b.State)
		}
	}
	return ""
}

// lastLog is the end of its log.
func (n *node) lastLog() string {
	text, err := os.ReadFile(n.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-logEnd):]))
}

var asker = http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func ask(url string, v any) error {
	resp, err := asker.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", url, resp.StatusCode)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

// answers tells whether there is a 200.
func answers(url string) bool {
	resp, err := asker.Get(url)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
