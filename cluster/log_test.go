package cluster

import (
	"bytes"
	"fmt"
	"log"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestLogWriter(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		var out bytes.Buffer
		log.New(newLogWriter(zerolog.New(&out)), "", 0).Print(line)
		if got := strings.TrimSpace(out.String()); got != want {
			t.Errorf("%q: got %s, want %s", line, got, want)
		}
	}
	f("[DEBUG] memberlist: text", `{"level":"debug","message":"text"}`)
	f("[INFO] memberlist: text", `{"level":"info","message":"text"}`)
	f("[WARN] memberlist: text", `{"level":"warn","message":"text"}`)
	f("[ERR] memberlist: text", `{"level":"error","message":"text"}`)
	f("[ERR] Failed to x", `{"level":"error","message":"Failed to x"}`)
	f("[ODD] text", `{"level":"debug","message":"[ODD] text"}`)
	f("plain", `{"level":"debug","message":"plain"}`)
}

// A stranger's packets must not fill the disk.
func TestLogWriterIsLimited(t *testing.T) {
	var out bytes.Buffer
	w := newLogWriter(zerolog.New(&out))
	for i := range 50 * logBurst {
		fmt.Fprintf(w, "[ERR] memberlist: garbage %d\n", i)
	}
	if got := bytes.Count(out.Bytes(), []byte("\n")); got < logBurst || got > 10*logBurst {
		t.Errorf("got %d lines, want about %d", got, logBurst)
	}
}
