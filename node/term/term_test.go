package term

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a terminal gets is tested on the real binary, in tests/cli.
func TestFilesAndBuffersArePlain(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, s := range map[string]Style{"file": For(file, none), "buffer": For(&strings.Builder{}, none), "zero": {}} {
		if got := s.Bad("x") + s.Good("y"); got != "xy" {
			t.Errorf("%s: got %q, want no colour", name, got)
		}
	}
	if got := (Style{colour: true}).Bad(""); got != "" {
		t.Errorf("nothing in colour is %q, want nothing", got)
	}
	if got, want := (Style{colour: true}).Bad("x"), "\x1b[1;31mx\x1b[0m"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
