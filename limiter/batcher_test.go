package limiter

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

func TestBatcherGathersWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sizes []int
		dropped := 0
		hold := make(chan struct{})
		b := newBatcher(func(batch []*ask) {
			mu.Lock()
			sizes = append(sizes, len(batch))
			mu.Unlock()
			<-hold
		}, func(*ask) { dropped++ })
		ctx, cancel := context.WithCancel(t.Context())
		b.start(ctx)
		put := func(n int) {
			for range n {
				if err := b.put(newAsk()); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		for range batchWorkers {
			put(1) // keeps one worker busy
		}
		gone := newAsk()
		gone.state.Store(askAbandoned)
		_ = b.put(gone)
		put(130)
		close(hold)
		synctest.Wait()
		want := []int{1, 1, 1, 1, batchMax - 1, 3}
		if len(sizes) != len(want) {
			t.Fatalf("sent %v, want %v", sizes, want)
		}
		total := 0
		for _, n := range sizes {
			total += n
			if n > batchMax {
				t.Errorf("a batch of %d, want at most %d", n, batchMax)
			}
		}
		if total != 134 {
			t.Errorf("sent %d asks, want 134: one was given up", total)
		}
		if dropped != 1 {
			t.Errorf("dropped %d asks, want 1", dropped)
		}
		cancel()
		b.workers.Wait()
	})
}

func TestBatcherIsBounded(t *testing.T) {
	b := newBatcher(func([]*ask) {}, func(*ask) {})
	for range queueMax {
		if err := b.put(newAsk()); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.put(newAsk()); !errors.Is(err, errQueueFull) {
		t.Errorf("got %v, want %v", err, errQueueFull)
	}
}
