package proxy

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errFull  = errors.New("all connections are taken and as many requests wait for one")
	errStuck = errors.New("no connection became free in time")
)

// gate counts who uses an endpoint and lets no more than a limit in. Who finds it
// full may wait in line, which is as long as the limit. Passing a gate that is
// not full costs two atomic operations and no lock.
type gate struct {
	limit  atomic.Int32
	inside atomic.Int32

	waiting atomic.Int32 // the length of line
	mu      sync.Mutex
	line    []chan struct{} // closed when its owner was let in
}

// resize changes the limit. Those inside stay.
func (g *gate) resize(limit int) {
	g.limit.Store(int32(limit))
	g.admitWaiting()
}

func (g *gate) full() bool { return g.inside.Load() >= g.limit.Load() }

// tryEnter lets the caller in unless the gate is full.
func (g *gate) tryEnter() bool {
	for {
		n := g.inside.Load()
		if n >= g.limit.Load() {
			return false
		}
		if g.inside.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// enter lets the caller in at once or within wait. Who came in must leave.
func (g *gate) enter(ctx context.Context, wait time.Duration) error {
	if g.tryEnter() {
		return nil
	}
	if wait <= 0 {
		return errStuck
	}
	turn := g.queue()
	if turn == nil {
		return errFull
	}
	g.admitWaiting() // somebody may have left before we stood in line
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-turn:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	if g.unqueue(turn) {
		return errStuck
	}
	return nil // let in at the last moment
}

func (g *gate) queue() chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.line) >= int(g.limit.Load()) {
		return nil
	}
	turn := make(chan struct{})
	g.line = append(g.line, turn)
	g.waiting.Store(int32(len(g.line)))
	return turn
}

// unqueue reports whether the caller was still in line.
func (g *gate) unqueue(turn chan struct{}) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.line, turn)
	if i >= 0 {
		g.line = slices.Delete(g.line, i, i+1)
		g.waiting.Store(int32(len(g.line)))
	}
	return i >= 0
}

func (g *gate) leave() {
	g.inside.Add(-1)
	if g.waiting.Load() > 0 {
		g.admitWaiting()
	}
}

func (g *gate) admitWaiting() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.line) > 0 && g.tryEnter() {
		close(g.line[0])
		g.line = slices.Delete(g.line, 0, 1)
	}
	g.waiting.Store(int32(len(g.line)))
}
