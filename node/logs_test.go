package node

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// logBuffer collects a node's log.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// wait returns the first line that holds want; access lines come a moment after
// the answer.
func (b *logBuffer) wait(t *testing.T, want string) string {
	t.Helper()
	var line string
	eventually(t, "a log line with "+want, func() bool {
		for l := range strings.Lines(b.String()) {
			if strings.Contains(l, want) {
				line = l
				return true
			}
		}
		return false
	})
	return line
}

// eventually polls until ok, for things another goroutine does in its own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within 10 s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
