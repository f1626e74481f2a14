package soak

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
	"github.com/go-api-gateway-pro/gateway/tests/load/attack"
)

// pace is how often things happen in a run, which is played faster if it is short.
type pace struct{ sample, reload, restart, client, rush time.Duration }

func paceOf(lasts time.Duration) pace {
	return pace{
		sample:  min(10*time.Second, max(lasts/30, 200*time.Millisecond)),
		reload:  min(time.Minute, lasts/5),
		restart: min(3*time.Minute, lasts/2-time.Second/2), // breakers close in between
		client:  min(time.Second, lasts/5),
		rush:    lasts / 60,
	}
}

// run is what a soak left behind.
type run struct {
	lasts   time.Duration
	rate    float64
	attack  *attack.Attack
	tallies []attack.Tally
	nodes   []watched

	reloads, restarts, visits, events, sockets int

	mu    sync.Mutex // guards wrong
	wrong []string   // what should not have happened
}

const shownWrong = 20

func (r *run) note(what string, err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.wrong) < shownWrong {
		r.wrong = append(r.wrong, fmt.Sprintf("%s: %v", what, err))
	}
}

// play loads the stage and lets everything happen that a day brings.
func play(tb testing.TB, s *stage, r *run) {
	tb.Helper()
	file, err := attack.Read("../scenarios.json")
	if err != nil {
		tb.Fatal(err)
	}
	if r.attack, err = s.attack(file, r.rate, r.lasts); err != nil {
		tb.Fatal(err)
	}
	p, began := paceOf(r.lasts), time.Now()
	r.nodes = make([]watched, len(s.nodes))
	for i, g := range s.nodes {
		r.nodes[i].before = take(tb, g, 0)
	}
	r.load(tb, s, p)
	for i, g := range s.nodes {
		r.nodes[i].rest(tb, g, began)
	}
}

// load is the run itself.
func (r *run) load(tb testing.TB, s *stage, p pace) {
	tb.Helper()
	if _, err := rush(r.attack, p.rush).Run(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(tb.Context())
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stop()
	beside.Go(func() { r.restartUpstreams(ctx, s, p) })
	beside.Go(func() { r.sendClients(ctx, s, p) })
	loaded := make(chan struct{})
	beside.Go(func() {
		defer close(loaded)
		var err error
		r.tallies, err = r.attack.Run(ctx)
		r.note("load", err)
	})
	r.watch(tb, s, loaded)
}

// watch samples all nodes and changes their configuration until the load is over.
func (r *run) watch(tb testing.TB, s *stage, loaded <-chan struct{}) {
	tb.Helper()
	p, began := paceOf(r.lasts), time.Now()
	sampling, reloading := time.NewTicker(p.sample), time.NewTicker(p.reload)
	defer sampling.Stop()
	defer reloading.Stop()
	for {
		select {
		case <-loaded:
			return
		case <-sampling.C:
			for i, g := range s.nodes {
				r.nodes[i].samples = append(r.nodes[i].samples, take(tb, g, time.Since(began)))
			}
		case <-reloading.C:
			s.reload()
			r.reloads++
			for _, g := range s.nodes {
				harness.Eventually(tb, readyLimit, g.Addr+" runs the next configuration", func() bool { return s.running(g) })
			}
		}
	}
}

const restLimit = time.Minute // for connections of both sides to be given up

// rest waits until the node holds what it did before, or for a minute.
func (w *watched) rest(tb testing.TB, g *harness.Gateway, began time.Time) {
	tb.Helper()
	for since := time.Now(); ; time.Sleep(time.Second) {
		w.after = take(tb, g, time.Since(began))
		left := false
		for n, f := range figures() {
			left = left || f.rest > 0 && w.after.values[n] > w.before.values[n]+f.rest
		}
		if !left || time.Since(since) > restLimit {
			return
		}
	}
}

// restartUpstreams restarts one after the other.
func (r *run) restartUpstreams(ctx context.Context, s *stage, p pace) {
	every(ctx, p.restart, func(i int) {
		r.note("restart of an upstream", s.ups[i%len(s.ups)].restart(ctx))
		r.restarts++
	})
}

// sendClients sends one after the other who comes on a connection of its own, follows
// an event stream or opens a WebSocket.
func (r *run) sendClients(ctx context.Context, s *stage, p pace) {
	every(ctx, p.client, func(i int) {
		addr := s.nodes[i%len(s.nodes)].Addr
		_, err := visit(ctx, "http://"+addr+"/api/public/visit")
		r.note("visit", err)
		r.note("event stream", listen(ctx, addr))
		r.note("WebSocket", talk(ctx, addr))
		if ctx.Err() == nil {
			r.visits, r.events, r.sockets = r.visits+1, r.events+1, r.sockets+1
		}
	})
}

// every calls do at each interval, with how often it did before, until ctx ends.
func every(ctx context.Context, interval time.Duration, do func(i int)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			do(i)
		}
	}
}
