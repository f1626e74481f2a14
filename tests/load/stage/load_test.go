package stage

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve answers as told and counts.
func serve(t *testing.T, answer http.HandlerFunc) (addr string, count *atomic.Int64) {
	t.Helper()
	count = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count.Add(1)
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), count
}

func plain(b []byte, _ int) []byte { return append(b, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"...) }

func TestLoadSendsAllRequests(t *testing.T) {
	large := strings.Repeat("x", 20_000) // comes in pieces
	one, first := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "20000")
		_, _ = w.Write([]byte(large))
	})
	two, second := serve(t, func(http.ResponseWriter, *http.Request) {})
	for _, rate := range []float64{0, 5000} {
		first.Store(0)
		second.Store(0)
		l := &Load{Addrs: []string{one, two}, Connections: 4, Requests: 300, Rate: rate, Append: plain}
		got, err := l.send(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if first.Load()+second.Load() != 300 || first.Load() == 0 || second.Load() == 0 || l.Answered() != 300 {
			t.Errorf("rate %v: %d and %d requests arrived, %d answers", rate, first.Load(), second.Load(), l.Answered())
		}
		if rate > 0 && got.PerSecond > 1.02*rate {
			t.Errorf("%.0f requests a second, asked for %.0f", got.PerSecond, rate)
		}
	}
}

// A server that stalls once makes all wait that were due meanwhile: leaving them out
// would hide the stall.
func TestLoadCountsTheTimeBeforeSending(t *testing.T) {
	const stall = 200 * time.Millisecond
	var asked atomic.Int64
	addr, _ := serve(t, func(http.ResponseWriter, *http.Request) {
		if asked.Add(1) == 10 {
			<-time.After(stall)
		}
	})
	l := &Load{Addrs: []string{addr}, Connections: 1, Requests: 300, Rate: 1000, Append: plain}
	got, err := l.send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Max < stall || got.P50 < stall/10 {
		t.Errorf("half took at most %s, the slowest %s; a stall of %s delays two thirds", got.P50, got.Max, stall)
	}
}

func TestLoadEndsAtARefusal(t *testing.T) {
	addr, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
	l := &Load{Addrs: []string{addr}, Connections: 1, Requests: 10, Append: plain}
	if _, err := l.send(t.Context()); err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("got %v", err)
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	addr, _ := serve(t, func(http.ResponseWriter, *http.Request) {})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	l := &Load{Addrs: []string{addr}, Connections: 1, Requests: 10, Append: plain}
	if _, err := l.send(ctx); err == nil {
		t.Error("went on")
	}
}

func TestAnswerInPieces(t *testing.T) {
	const text = "HTTP/1.1 200 OK\r\nServer: a\r\nContent-Length: 5\r\n\r\nhello"
	for cut := range len(text) {
		var a answer
		first, err1 := a.take([]byte(text[:cut]))
		last, err2 := a.take([]byte(text[cut:]))
		if first || !last || err1 != nil || err2 != nil {
			t.Errorf("cut at %d: %v, %v, %v, %v", cut, first, last, err1, err2)
		}
	}
	for _, bad := range []string{"HTTP/1.1 503 Sorry\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", text + "!"} {
		var a answer
		if _, err := a.take([]byte(bad)); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

func TestTiming(t *testing.T) {
	var took []time.Duration
	for i := range 1000 {
		took = append(took, time.Duration(1000-i)*time.Millisecond)
	}
	want := Timing{PerSecond: 500, P50: 500 * time.Millisecond, P99: 990 * time.Millisecond, Max: time.Second}
	if got := timing(took, 2*time.Second); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := timing(nil, time.Second); got != (Timing{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestScriptCalls(t *testing.T) {
	const info = "# Commandstats\r\ncmdstat_evalsha:calls=12,usec=3\r\ncmdstat_eval:calls=1,usec=3\r\ncmdstat_get:calls=99,usec=1\r\n"
	if got := scriptCalls(info); got != 13 {
		t.Errorf("got %d", got)
	}
}
