package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	at := time.Date(2026, 1, 2, 4, 4, 5, 67_000_000, time.FixedZone("CET", 3600))
	log := newLogger(&out, LogConfig{Level: "info"}, func() time.Time { return at })
	log.Debug().Msg("unseen")
	log.Info().Str("key", "value").Msg("seen")
	var line map[string]string
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	want := map[string]string{"level": "info", "time": "2026-01-02T03:04:05.067Z", "key": "value", "message": "seen"}
	if fmt.Sprint(line) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", line, want)
	}
}

func TestAccessLog(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f := func(level, want string) {
		t.Helper()
		var out bytes.Buffer
		log := NewAccessLog(&out, LogConfig{Level: level})
		log.Line(at).Str("request_id", "7").Send()
		if out.String() != want {
			t.Errorf("%s: got %q", level, out.String())
		}
	}
	const line = `{"time":"2026-01-02T03:04:05.000Z","level":"info","request_id":"7"}` + "\n"
	f("debug", line)
	f("info", line)
	f("warn", "")
	f("error", "")
}

func TestPrintable(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := Printable(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	f("", "")
	f("/a b/~?é世", "/a b/~?é世")
	f("a\nb\r\x00\x1b[31m\x7f", "a�b���[31m�")
	f("\u0085\u2028\u202e\u200b\ufeff", "�����") // ends of line, reversals, nothings
	f("\xff\xc0\xaf", "���")
	f(strings.Repeat("x", maxText), strings.Repeat("x", maxText))
	f(strings.Repeat("x", maxText+1), strings.Repeat("x", maxText)+"…")
	f(strings.Repeat("é", maxText), strings.Repeat("é", maxText/2)+"…")
}

func TestLoggerAllocs(t *testing.T) {
	log := NewLogger(io.Discard, DefaultLogConfig())
	if n := testing.AllocsPerRun(100, func() { log.Info().Str("key", "value").Msg("") }); n > 0 {
		t.Errorf("%g allocations per line", n)
	}
}

// value reads a counter.
func value(tb testing.TB, c prometheus.Counter) int {
	tb.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		tb.Fatal(err)
	}
	return int(m.GetCounter().GetValue())
}

// gatedWriter blocks every write until the gate is open.
type gatedWriter struct {
	gate chan struct{}

	mu     sync.Mutex
	text   bytes.Buffer
	writes int
}

func (w *gatedWriter) Write(p []byte) (int, error) {
	<-w.gate
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes++
	return w.text.Write(p)
}

func TestLogWriterBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &gatedWriter{gate: make(chan struct{})}
		close(out.gate)
		l := NewLogWriter(out, 1000, prometheus.NewRegistry())
		var want strings.Builder
		for i := range 100 {
			fmt.Fprintf(io.MultiWriter(l, &want), "line %d\n", i)
		}
		time.Sleep(2 * flushDelay) // of the bubble's clock
		synctest.Wait()
		if out.writes != 1 || out.text.String() != want.String() {
			t.Errorf("%d writes of %q", out.writes, out.text.String())
		}
		fmt.Fprintln(l, "last")
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := out.text.String(); !strings.HasSuffix(got, "\nlast\n") {
			t.Errorf("closing did not flush: %q", got)
		}
		if n := value(t, l.dropped); n != 0 {
			t.Errorf("%d dropped", n)
		}
	})
}

func TestLogWriterNeverBlocksAndCountsDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &gatedWriter{gate: make(chan struct{})}
		l := NewLogWriter(out, 10, prometheus.NewRegistry())
		fmt.Fprintln(l, "first")
		time.Sleep(2 * flushDelay)
		synctest.Wait() // the writer hangs in its first batch
		for i := range 25 {
			if n, err := fmt.Fprintf(l, "%d\n", i); n == 0 || err != nil {
				t.Fatalf("got %d, %v", n, err)
			}
		}
		if n := value(t, l.dropped); n != 15 {
			t.Errorf("%d dropped, want 15", n)
		}
		close(out.gate)
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := strings.Count(out.text.String(), "\n"); got != 11 {
			t.Errorf("%d lines written, want 11", got)
		}
		fmt.Fprintln(l, "too late")
		if n := value(t, l.dropped); n != 16 {
			t.Errorf("%d dropped, want 16", n)
		}
	})
}

// A crowd of access lines does not drown what happens meanwhile.
func TestLogWriterKeepsRoomForEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &gatedWriter{gate: make(chan struct{})}
		l := NewLogWriter(out, 10, prometheus.NewRegistry())
		fmt.Fprintln(l, "first")
		time.Sleep(2 * flushDelay)
		synctest.Wait() // the writer hangs
		for range 20 {
			fmt.Fprintln(l, "access")
		}
		for range 2 * eventReserve {
			fmt.Fprintln(l.Events(), "event")
		}
		if n := value(t, l.dropped); n != 10+eventReserve {
			t.Errorf("%d dropped", n)
		}
		close(out.gate)
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
		want := "first\n" + strings.Repeat("access\n", 10) + strings.Repeat("event\n", eventReserve)
		if out.text.String() != want {
			t.Errorf("got %q", out.text.String())
		}
	})
}

func TestEventsDoNotWaitForCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &gatedWriter{gate: make(chan struct{})}
		close(out.gate)
		l := NewLogWriter(out, 1000, prometheus.NewRegistry())
		defer l.Close(t.Context())
		fmt.Fprintln(l.Events(), "event")
		synctest.Wait() // the clock stands still
		if out.text.String() != "event\n" {
			t.Errorf("got %q", out.text.String())
		}
	})
}

func TestLogWriterBoundsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &gatedWriter{gate: make(chan struct{})}
		close(out.gate)
		l := NewLogWriter(out, 4, prometheus.NewRegistry())
		long := bytes.Repeat([]byte("x"), 3*lineBytes)
		for range 2 {
			_, _ = l.Write(long)
		}
		if err := l.Close(t.Context()); err != nil || out.text.Len() != len(long) || value(t, l.dropped) != 1 {
			t.Errorf("%v, %d bytes, %d dropped", err, out.text.Len(), value(t, l.dropped))
		}
	})
}

func TestLogWriterCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &gatedWriter{gate: make(chan struct{})}
		l := NewLogWriter(out, 10, prometheus.NewRegistry())
		fmt.Fprintln(l, "hangs")
		time.Sleep(2 * flushDelay)
		synctest.Wait()
		fmt.Fprintln(l, "left")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := l.Close(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || value(t, l.dropped) != 1 {
			t.Errorf("got %v, %d dropped", err, value(t, l.dropped))
		}
		close(out.gate)
		if err := l.Close(t.Context()); err != nil {
			t.Errorf("closing again: %v", err)
		}
	})
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestLogWriterCountsFailedWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLogWriter(failingWriter{}, 10, prometheus.NewRegistry())
		fmt.Fprintln(l, "a")
		fmt.Fprintln(l, "b")
		if err := l.Close(t.Context()); err != nil || value(t, l.dropped) != 2 {
			t.Errorf("%v, %d dropped", err, value(t, l.dropped))
		}
	})
}

func BenchmarkLogWriter(b *testing.B) {
	l := NewLogWriter(io.Discard, 8192, prometheus.NewRegistry())
	defer l.Close(b.Context())
	line := bytes.Repeat([]byte("x"), 400)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = l.Write(line)
		}
	})
}
