package accuracy

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	streamWorkers = 64                     // connections of one load to one node at most,
	patientFor    = time.Second / 10       // and as many as a stall this long needs
	answerLimit   = 12 * time.Second       // beyond any stall a rival is to be seen with
	onTime        = 200 * time.Millisecond // a request that cannot leave by then is not sent
	leastOffered  = 0.98                   // of the requests, for a run to be valid
)

// load is a stream of requests against one limit.
type load struct {
	limit limit
	rate  float64   // requests per second on all nodes together
	skew  []float64 // each node's share; together 1
	keys  int       // client addresses taken in turn; 0: a new one for each request
}

// due is what may be admitted of the load in a time that begins with all buckets
// full.
func (l load) due(t time.Duration) float64 { return float64(max(1, l.keys)) * l.limit.due(t) }

// tally is what became of a load.
type tally struct {
	sent   []time.Duration // when each request left, in order
	late   int             // those that could not leave on time
	passed int             // 2xx
	denied int             // 429
	failed int             // 5xx
	lost   int             // no answer, or another status
	slow   time.Duration   // the slowest answer
}

func (t *tally) add(o tally) {
	t.sent = append(t.sent, o.sent...)
	t.late += o.late
	t.passed += o.passed
	t.denied += o.denied
	t.failed += o.failed
	t.lost += o.lost
	t.slow = max(t.slow, o.slow)
}

// offered is the part of the requests that left.
func (t *tally) offered() float64 {
	return float64(len(t.sent)) / float64(max(1, len(t.sent)+t.late))
}

func (t *tally) count(status int) {
	switch {
	case status >= 500:
		t.failed++
	case status == fasthttp.StatusTooManyRequests:
		t.denied++
	case status >= 200 && status < 300:
		t.passed++
	default:
		t.lost++
	}
}

// run sends the load to the nodes from one moment to another and returns when
// every request has its outcome.
func (l load) run(c clock, nodes []string, from, to time.Duration) tally {
	var mu sync.Mutex
	var all tally
	var workers sync.WaitGroup
	for i := range nodes {
		s := newStream(l, i, from, to)
		s.clock = c
		s.nodes = append(slices.Clone(nodes[i:]), nodes[:i]...)
		for range s.workers() {
			workers.Go(func() {
				one := s.work()
				mu.Lock()
				all.add(one)
				mu.Unlock()
			})
		}
	}
	workers.Wait()
	slices.Sort(all.sent)
	return all
}

// stream is what one load sends to one node. Requests are a Poisson process:
// independent clients do not march in step.
type stream struct {
	load  load
	clock clock
	node  int      // which node it belongs to
	nodes []string // that one first; the others stand in while it refuses
	gap   time.Duration
	end   time.Duration

	mu    sync.Mutex // guards the rest
	turns *rand.Rand
	due   time.Duration
	turn  int
}

// newStream draws the same times in every run.
func newStream(l load, node int, from, to time.Duration) *stream {
	return &stream{
		load: l, node: node, due: from, end: to,
		gap:   time.Duration(float64(time.Second) / (l.skew[node] * l.rate)),
		turns: rand.New(rand.NewPCG(uint64(l.rate), uint64(node))),
	}
}

func (s *stream) workers() int { return max(4, min(streamWorkers, int(patientFor/s.gap))) }

// next returns when the next request leaves and for whom.
func (s *stream) next() (due time.Duration, turn int, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.due += time.Duration(s.turns.ExpFloat64() * float64(s.gap))
	s.turn++
	return s.due, s.turn, s.due < s.end
}

// work sends requests until the end. Every worker has one connection per node.
func (s *stream) work() tally {
	var t tally
	var req fasthttp.Request
	var resp fasthttp.Response
	clients := make([]*fasthttp.HostClient, len(s.nodes))
	for i, addr := range s.nodes {
		clients[i] = &fasthttp.HostClient{Addr: addr, MaxConns: 1, MaxIdemponentCallAttempts: 1}
		defer clients[i].CloseIdleConnections()
	}
	for {
		due, turn, more := s.next()
		if !more {
			return t
		}
		time.Sleep(due - s.clock.now())
		sent := s.clock.now()
		if sent-due > onTime {
			t.late++
			continue
		}
		s.address(&req, turn)
		t.sent = append(t.sent, sent)
		t.count(send(clients, &req, &resp))
		t.slow = max(t.slow, s.clock.now()-sent)
	}
}

// address makes req the request of one client of the load. Without a number of
// keys no client comes twice, on other nodes included.
func (s *stream) address(req *fasthttp.Request, turn int) {
	key := turn*len(s.load.skew) + s.node
	if s.load.keys > 0 {
		key %= s.load.keys
	}
	client := netip.AddrFrom4([4]byte{10, byte(key >> 16), byte(key >> 8), byte(key)})
	req.SetRequestURI("http://gateway" + s.load.limit.path(key))
	req.Header.Set("X-Forwarded-For", client.String())
}

// send returns the status of the first node that answers, as a balancer would;
// 0 if none does.
func send(clients []*fasthttp.HostClient, req *fasthttp.Request, resp *fasthttp.Response) int {
	for _, c := range clients {
		if err := c.DoTimeout(req, resp, answerLimit); err == nil {
			return resp.StatusCode()
		}
	}
	return 0
}

// even spreads a load over n nodes.
func even(n int) []float64 { return slices.Repeat([]float64{1 / float64(n)}, n) }

// skewed gives one of three nodes most of a load.
func skewed() []float64 { return []float64{.80, .15, .05} }
