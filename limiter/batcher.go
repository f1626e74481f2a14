package limiter

import (
	"context"
	"errors"
	"runtime"
	"sync"
)

const (
	batchWorkers = 4
	batchMax     = 128
	queueMax     = 4096
)

var errQueueFull = errors.New("too many checks are waiting for Redis")

// batcher lets checks that wait at the same moment travel together. A few
// workers take turns: one gathers what has come, sends it and waits for the
// answers while the next gathers. Nothing is ever delayed to fill a batch.
//
// Safe for concurrent use.
type batcher struct {
	send    func(batch []*ask) // answers every ask of the batch
	drop    func(a *ask)       // ends one whose caller gave up in time
	wake    chan struct{}      // holds the order to gather
	workers sync.WaitGroup

	mu        sync.Mutex
	waiting   []*ask
	gathering bool // the order was given and not yet carried out
}

func newBatcher(send func([]*ask), drop func(*ask)) *batcher {
	return &batcher{send: send, drop: drop, wake: make(chan struct{}, 1)}
}

// start runs the workers until ctx is done; wait on workers afterwards.
func (b *batcher) start(ctx context.Context) {
	for range batchWorkers {
		b.workers.Go(func() { b.work(ctx) })
	}
}

// put queues a, whose done gets a signal once it is answered.
func (b *batcher) put(a *ask) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) >= queueMax {
		return errQueueFull
	}
	b.waiting = append(b.waiting, a)
	b.orderLocked()
	return nil
}

// orderLocked wakes one worker, unless one is about to gather anyway. The
// channel never blocks: there is at most one order at a time.
func (b *batcher) orderLocked() {
	if !b.gathering {
		b.gathering = true
		b.wake <- struct{}{}
	}
}

func (b *batcher) work(ctx context.Context) {
	batch, gone := make([]*ask, 0, batchMax), make([]*ask, 0, batchMax)
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		}
		// Callers that are ready to run are let in first: fewer, larger writes
		// cost less, and with nobody ready this takes no time.
		runtime.Gosched()
		batch, gone = b.gather(batch[:0], gone[:0])
		for _, a := range gone {
			b.drop(a)
		}
		if len(batch) > 0 {
			b.send(batch)
		}
		clear(batch)
		clear(gone)
	}
}

// gather moves what waits to batch, or to gone if its caller gave up: that must
// not be charged.
func (b *batcher) gather(batch, gone []*ask) ([]*ask, []*ask) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.waiting), batchMax)
	for _, a := range b.waiting[:n] {
		if a.state.Load() == askAbandoned {
			gone = append(gone, a)
		} else {
			batch = append(batch, a)
		}
	}
	rest := copy(b.waiting, b.waiting[n:])
	clear(b.waiting[rest:])
	b.waiting = b.waiting[:rest]
	b.gathering = false
	if rest > 0 {
		b.orderLocked()
	}
	return batch, gone
}
