package integration

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/go-api-gateway-pro/gateway/limiter"
	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// node is the limiter of a gateway, without the gateway.
type node struct {
	*limiter.Limiter
	log lines

	t        *testing.T
	registry *prometheus.Registry
}

// newNode makes a limiter that is closed with the test and has to leave nothing
// behind.
func newNode(t *testing.T, c limiter.Config, change func(*limiter.Options)) *node {
	t.Helper()
	checkNothingLeft(t)
	c.KeyPrefix = "test"
	n := &node{t: t, registry: prometheus.NewRegistry()}
	o := limiter.Options{Config: c, Registerer: n.registry, Log: zerolog.New(&n.log).With().Timestamp().Logger()}
	if change != nil {
		change(&o)
	}
	var err error
	if n.Limiter, err = limiter.New(o); err != nil {
		t.Fatalf("cannot make limiter: %v", err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("cannot close limiter: %v", err)
		}
	})
	return n
}

// checkNothingLeft fails the test if goroutines are left after everything that
// is registered later was cleaned up. Those of the Redis client take up to a
// second to see that it was closed.
func checkNothingLeft(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		var err error
		for start := time.Now(); time.Since(start) < 5*time.Second; {
			err = goleak.Find(before,
				goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
				goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
			if err == nil {
				return
			}
		}
		t.Error(err)
	})
}

// metric sums the samples of a name with all of the labels.
func (n *node) metric(name string, labels ...string) float64 {
	n.t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		n.t.Fatalf("cannot gather metrics: %v", err)
	}
	var text strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			n.t.Fatalf("cannot write metrics: %v", err)
		}
	}
	return harness.ParseMetrics(text.String()).Sum(name, labels...)
}

// waitForMode waits until the limiter decides by Redis or by itself.
func (n *node) waitForMode(mode string) {
	n.t.Helper()
	harness.Eventually(n.t, 20*time.Second, "mode "+mode, func() bool { return n.Mode() == mode })
}

// settled waits until Redis decides a request: connections stand, the script is
// there.
func (n *node) settled() {
	n.t.Helper()
	limit := slow("warm", 1_000)
	harness.Eventually(n.t, 20*time.Second, "a decision by Redis", func() bool {
		return n.Check(n.t.Context(), []limiter.Bucket{{Limit: limit}}).Source == limiter.SourceRedis
	})
	n.waitForMode(limiter.ModeRedis)
}

// admit returns how many of n requests pass.
func (n *node) admit(count int, b ...limiter.Bucket) (passed int) {
	for range count {
		if n.Check(n.t.Context(), b).Allowed {
			passed++
		}
	}
	return passed
}

// slow is a limit of so many tokens that hardly come back while a test runs: one
// in ten minutes.
func slow(id string, burst int) *limiter.Limit {
	return &limiter.Limit{ID: id, Scope: limiter.ScopeUser, Rate: 1, Burst: burst, Period: 10 * time.Minute, Strict: true}
}

func perSecond(id string, rate, burst int) *limiter.Limit {
	return &limiter.Limit{ID: id, Scope: limiter.ScopeUser, Rate: rate, Burst: burst, Period: time.Second}
}

// traffic is what a load of checks has met.
type traffic struct {
	passed, checks, local atomic.Int64
	stop                  func() // ends the load and waits for it

	mu   sync.Mutex
	took []time.Duration
}

// callers is how many checks a load has under way at each node.
const callers = 4

// load runs checks on every node until it is stopped, some at once, with a pause
// after each.
func load(t *testing.T, pause time.Duration, nodes []*node, b ...limiter.Bucket) *traffic {
	got, end := &traffic{}, make(chan struct{})
	var all sync.WaitGroup
	for _, n := range nodes {
		for range callers {
			all.Go(func() {
				for {
					select {
					case <-end:
						return
					case <-time.After(pause):
					}
					got.count(n.Check(t.Context(), b))
				}
			})
		}
	}
	got.stop = sync.OnceFunc(func() { close(end); all.Wait() })
	t.Cleanup(got.stop)
	return got
}

func (g *traffic) count(d limiter.Decision) {
	g.checks.Add(1)
	if d.Source == limiter.SourceLocal {
		g.local.Add(1)
	}
	if d.Allowed {
		g.passed.Add(1)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.took = append(g.took, d.Took)
}

// checkBudget fails the test if more checks than one in a thousand outlast the
// budget, or more than the machine itself explains.
func (g *traffic) checkBudget(t *testing.T, budget time.Duration, noise float64) {
	t.Helper()
	late, all := 0, float64(len(g.took))
	for _, took := range g.took {
		if took > budget+spare {
			late++
		}
	}
	most := max(1, all*(0.001+2*noise))
	t.Logf("%d of %v checks took more than %s; the machine is late in %.2f %% of plain waits", late, all, budget+spare, 100*noise)
	if float64(late) > most || late > 0 && slices.Max(g.took) > budget+time.Second {
		t.Errorf("%d of %v checks took more than %s, the slowest %s; want at most %.1f", late, all, budget+spare, slices.Max(g.took), most)
	}
}

// lines is a log in memory.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// count returns how many lines hold the text.
func (l *lines) count(text string) (n int) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}
