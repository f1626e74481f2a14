package accuracy

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// sink is a node that answers with a status, by turns, and notes who asked.
type sink struct {
	addr string

	mu      sync.Mutex // guards the rest
	asked   int
	clients map[string]int
}

func newSink(t *testing.T, statuses ...int) *sink {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{addr: ln.Addr().String(), clients: map[string]int{}}
	serve(t, ln, func(ctx *fasthttp.RequestCtx) {
		s.mu.Lock()
		defer s.mu.Unlock()
		ctx.SetStatusCode(statuses[s.asked%len(statuses)])
		s.asked++
		s.clients[string(ctx.Request.Header.Peek("X-Forwarded-For"))+string(ctx.Path())]++
	})
	return s
}

func TestLoadCountsEveryAnswer(t *testing.T) {
	node := newSink(t, 200, 429, 503, 404)
	l := load{limit: limit{name: "x"}, rate: 400, skew: even(1), keys: 2}
	got := l.run(newClock(), []string{node.addr}, 0, 500*time.Millisecond)
	n := len(got.sent)
	if due := n + got.late; due < 150 || due > 250 {
		t.Errorf("%d requests were due, want about 200", due)
	}
	if sum := got.passed + got.denied + got.failed + got.lost; sum != n || node.asked != n {
		t.Errorf("%d outcomes and %d requests seen of %d", sum, node.asked, n)
	}
	for _, part := range []int{got.passed, got.denied, got.failed, got.lost} {
		if part < n/4 || part > n/4+1 {
			t.Errorf("counted %+v of %d, want a quarter each", []int{got.passed, got.denied, got.failed, got.lost}, n)
			break
		}
	}
	if !slices.IsSorted(got.sent) {
		t.Error("the times are not in order")
	}
	if len(node.clients) != 2 || node.clients["10.0.0.1/x/1"] == 0 {
		t.Errorf("clients %v, want two", node.clients)
	}
}

func TestLoadIsSpreadAsAsked(t *testing.T) {
	l := load{limit: limit{name: "x"}, rate: 2000, skew: skewed()}
	clients := map[string]bool{}
	for i, share := range skewed() {
		s, n := newStream(l, i, time.Second, 3*time.Second), 0
		for due, turn, more := s.next(); more; due, turn, more = s.next() {
			var req fasthttp.Request
			s.address(&req, turn)
			client := string(req.Header.Peek("X-Forwarded-For"))
			if clients[client] || due < time.Second {
				t.Fatalf("client %s comes again, or too early: at %s", client, due)
			}
			clients[client] = true
			n++
		}
		if want := 4000 * share; float64(n) < .8*want || float64(n) > 1.2*want {
			t.Errorf("node %d gets %d requests, want about %.0f", i, n, want)
		}
	}
}

func TestLoadGoesToTheNextNodeWhileOneRefuses(t *testing.T) {
	node := newSink(t, 200)
	l := load{limit: limit{name: "x"}, rate: 200, skew: even(2), keys: 1}
	got := l.run(newClock(), []string{"127.0.0.1:1", node.addr}, 0, 200*time.Millisecond)
	if got.passed != len(got.sent) || got.passed == 0 {
		t.Errorf("%d of %d answered", got.passed, len(got.sent))
	}
}

// A node that stalls makes an open load late once its connections are used up,
// and that must show.
func TestLoadThatCouldNotLeaveIsNotOffered(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, ln, func(*fasthttp.RequestCtx) { time.Sleep(250 * time.Millisecond) })
	l := load{limit: limit{name: "x"}, rate: 800, skew: even(1), keys: 1}
	got := l.run(newClock(), []string{ln.Addr().String()}, 0, 300*time.Millisecond)
	if got.offered() >= leastOffered {
		t.Errorf("%.3f of the load counts as offered", got.offered())
	}
	r := run{tally: got}
	if why := r.invalid(); !strings.Contains(why, "not offered") {
		t.Errorf("the run is not invalid: %q", why)
	}
}
