package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// get reads a whole answer; token "" sends none.
func get(t *testing.T, s *Server, path, token string) (*http.Response, string) {
	t.Helper()
	resp := request(t.Context(), t, s, path, "Authorization: Bearer "+token)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func request(ctx context.Context, t *testing.T, s *Server, path, header string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if name, value, _ := strings.Cut(header, ": "); value != "" && value != "Bearer " {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// listener is a client of /events.
type listener struct {
	t     *testing.T
	lines *bufio.Scanner
	leave context.CancelFunc
}

func listen(t *testing.T, s *Server, header string) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	resp := request(ctx, t, s, "/events", header)
	t.Cleanup(func() { cancel(); _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("events answer %d %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return &listener{t: t, lines: bufio.NewScanner(resp.Body), leave: cancel}
}

// next returns the count in the next state.
func (l *listener) next() (n int, ok bool) {
	l.t.Helper()
	for l.lines.Scan() {
		if data, isData := strings.CutPrefix(l.lines.Text(), "data: "); isData {
			var state struct{ N int }
			if err := json.Unmarshal([]byte(data), &state); err != nil {
				l.t.Fatalf("cannot decode %q: %v", data, err)
			}
			return state.N, true
		}
	}
	return 0, false
}

// counting is a port whose state tells how often it was composed.
func counting(t *testing.T, token string) (*Server, *atomic.Int64) {
	composed := new(atomic.Int64)
	return startWith(t, Options{Token: token, Cluster: func() any { return map[string]int64{"n": composed.Add(1)} }}), composed
}

// A state is composed once for all who listen, and for nobody not at all.
func TestEvents(t *testing.T) {
	s, composed := counting(t, "")
	s.Publish()
	if composed.Load() != 0 {
		t.Error("a state is composed for nobody")
	}
	a, b := listen(t, s, ""), listen(t, s, "")
	for want := 1; want < 5; want++ {
		na, _ := a.next()
		nb, _ := b.next()
		if na != want || nb != want {
			t.Fatalf("states %d and %d, want %d", na, nb, want)
		}
		s.Publish()
	}
}

func TestListenersAreBounded(t *testing.T) {
	s, _ := counting(t, "")
	all := make([]*listener, maxListeners)
	for i := range all {
		all[i] = listen(t, s, "")
		if n, ok := all[i].next(); !ok || n != 1 {
			t.Fatalf("listener %d gets %d", i, n)
		}
	}
	resp, body := get(t, s, "/events", "")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "too many") {
		t.Errorf("one more: %d %q", resp.StatusCode, body)
	}
	all[0].leave()
	for deadline := time.Now().Add(10 * time.Second); ; {
		resp := request(t.Context(), t, s, "/events", "")
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("who has left keeps its place")
		}
	}
}

// Close ends the streams in good order: the client sees the end, not a reset.
func TestCloseEndsTheStreams(t *testing.T) {
	s, err := New(Options{Addr: "127.0.0.1:0", Log: zerolog.Nop(), Now: time.Now, Cluster: func() any { return 1 }})
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	resp := request(t.Context(), t, s, "/events", "")
	defer resp.Body.Close()
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("Close gives %v", err)
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Errorf("the stream ends with %v", err)
	}
}

// A stream does not outlive the session that opened it.
func TestStreamEndsWithItsSession(t *testing.T) {
	clock := &atomic.Int64{}
	clock.Store(1_700_000_000)
	now := func() time.Time { return time.Unix(clock.Load(), 0) }
	s, err := New(Options{Addr: "127.0.0.1:0", Token: secret, Log: zerolog.Nop(), Now: now, Cluster: func() any { return map[string]int{"n": 1} }})
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	defer s.Close(context.Background())
	l := listen(t, s, "Cookie: "+sessionCookie+"="+s.door.sessions.begin())
	if _, ok := l.next(); !ok {
		t.Fatal("no state in an open session")
	}
	clock.Add(int64(sessionLife / time.Second))
	s.Publish()
	if _, ok := l.next(); ok {
		t.Error("a state after the end of the session")
	}
}
