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
		log.New(newLogWriter(zerolog.New(&out), newMetrics().refused), "", 0).Print(line)
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
	w := newLogWriter(zerolog.New(&out), newMetrics().refused)
	for i := range 50 * logBurst {
		fmt.Fprintf(w, "[ERR] memberlist: garbage %d\n", i)
	}
	if got := bytes.Count(out.Bytes(), []byte("\n")); got < logBurst || got > 10*logBurst {
		t.Errorf("got %d lines, want about %d", got, logBurst)
	}
}

// What a stranger can send without end is counted each time and logged once.
func TestLogWriterCountsStrangers(t *testing.T) {
	f := func(line, reason string) {
		t.Helper()
		var out bytes.Buffer
		m := newMetrics()
		w := newLogWriter(zerolog.New(&out), m.refused)
		for range 100 {
			fmt.Fprintf(w, "[ERR] memberlist: %s from=1.2.3.4:5\n", line)
		}
		if got := count(t, m.refused.WithLabelValues(reason)); got != 100 {
			t.Errorf("%s: got %v refusals by %s, want 100", line, got, reason)
		}
		if got := bytes.Count(out.Bytes(), []byte("\n")); got != 1 {
			t.Errorf("%s: got %d lines, want 1", line, got)
		}
	}
	f("Decrypt packet failed: no installed keys could decrypt the message", "key")
	f("failed to receive: encryption is configured but remote state is not encrypted", "key")
	f(`discarding stream with unacceptable label "other":`, "label")
}
