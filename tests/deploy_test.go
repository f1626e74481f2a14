package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// docker is a stand-in that keeps "id health" of each container in a file.
const docker = `#!/bin/sh
state=$STATE
case $1 in
compose)
    case $2 in
    ps) cut -d' ' -f1 "$state" ;;
    up)
        for each in "$@"; do case $each in gateway=*) want=${each#gateway=} ;; esac; done
        while [ "$(wc -l <"$state")" -lt "$want" ]; do
            echo x >>"$state.count"
            echo "new$(wc -l <"$state.count" | tr -d ' ') $NEW" >>"$state"
        done ;;
    esac ;;
inspect) grep "^$4 " "$state" | cut -d' ' -f2 ;;
rm) grep -v "^$2 " "$state" >"$state.left"; mv "$state.left" "$state" ;;
esac
`

// What a rolling restart cannot make healthy it takes away again: the next one
// finds what was there before, and mends it.
func TestRolling(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "docker"), docker, 0o755)
	f := func(before, fresh, after string, works bool) {
		t.Helper()
		write(state, before, 0o644)
		write(state+".count", "", 0o644)
		cmd := exec.CommandContext(t.Context(), "../deploy/rolling.sh")
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "STATE="+state, "NEW="+fresh, "PATIENCE=1", "COMPOSE=docker compose")
		out, err := cmd.CombinedOutput()
		if (err == nil) != works {
			t.Errorf("%q by %s: %v\n%s", before, fresh, err, out)
		}
		left, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(string(left)); got != after {
			t.Errorf("%q by %s: left %q, want %q", before, fresh, got, after)
		}
	}
	f("a healthy\nb healthy\n", "healthy", "new1 healthy\nnew2 healthy", true)
	f("a healthy\nb healthy\n", "unhealthy", "a healthy\nb healthy", false)
	f("a healthy\nb unhealthy\n", "healthy", "new1 healthy\nnew2 healthy", true)
}
