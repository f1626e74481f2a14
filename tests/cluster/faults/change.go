package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// rolling restarts every node, one at a time, as a deployment does.
func rolling(st *stage) {
	for i := range size {
		st.stop(i)
		st.start(i)
		harness.Eventually(st.tb, startLimit, "all well after a restart", func() bool { return st.ill() == "" })
	}
}

// scale adds two nodes, then takes three away. As with a resolver that follows,
// nginx learns of either only afterwards.
func scale(st *stage) {
	for i := size; i < most; i++ {
		st.start(i)
	}
	st.front.list(st.entries)
	st.members = most
	harness.Eventually(st.tb, startLimit, "five that see each other", func() bool { return st.ill() == "" })
	time.Sleep(3 * second)
	const left = 2
	for i := left; i < most; i++ {
		st.nodes[i].Signal(syscall.SIGTERM)
	}
	for i := left; i < most; i++ {
		st.nodes[i].Exit(stopLimit)
	}
	st.members = left
	st.front.list(st.entries[:left])
}

// other is node i's configuration with another timeout: what reloads is real.
func (st *stage) other(i, turn int) string {
	return strings.Replace(st.configs[i], "timeout_ms: 1000", fmt.Sprintf("timeout_ms: %d", 1000+turn%2), 1)
}

const reloads = 40

// reload gives every node another configuration, twice a second.
func reload(st *stage) {
	for turn := range reloads {
		for i := range size {
			st.nodes[i].Replace(st.other(i, turn+1))
		}
		time.Sleep(second / 2)
	}
}

// breakFile puts what is no configuration into the last node's file.
func breakFile(st *stage) { st.nodes[last].Replace("routes: [nonsense\n") }

// restore puts the last node's configuration back.
func restore(st *stage) { st.nodes[last].Replace(st.configs[last]) }

// halve writes the first half of another configuration over the last node's file,
// as an editor does that is interrupted.
func halve(st *stage) {
	text := st.other(last, 1)
	st.write(st.nodes[last].File, text[:len(text)/2])
}

func (st *stage) write(path, text string) {
	st.tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		st.tb.Fatal(err)
	}
}

// refused reports whether the last node refused a file.
func refused(st *stage) bool { return st.nodes[last].Logged("configuration refused") }

// link puts a configuration in place as a ConfigMap's volume does: the file is a
// link into a directory that is itself a link, and that one is replaced.
func (st *stage) link(version, text string) {
	st.tb.Helper()
	file := st.nodes[last].File
	dir := filepath.Dir(file)
	if err := os.MkdirAll(filepath.Join(dir, version), 0o700); err != nil {
		st.tb.Fatal(err)
	}
	st.write(filepath.Join(dir, version, filepath.Base(file)), text)
	st.swap(version, filepath.Join(dir, "..data"))
	st.swap(filepath.Join("..data", filepath.Base(file)), file)
}

// swap makes path a link to target in one step.
func (st *stage) swap(target, path string) {
	st.tb.Helper()
	next := path + ".next"
	if err := os.Symlink(target, next); err != nil {
		st.tb.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		st.tb.Fatal(err)
	}
}
