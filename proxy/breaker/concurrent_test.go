package breaker

import (
	"sync"
	"testing"
	"time"
)

// Requests, messages, ticks and reloads at once: for the race detector, and so
// that no ticket is lost on the way.
func TestConcurrentUse(t *testing.T) {
	members := func() []string { return []string{"a", "b"} }
	a := NewGroup(Options{Self: "a", Members: members})
	b := NewGroup(Options{Self: "b", Members: members})
	var mu sync.Mutex
	var inbox [][]byte
	a.Announce(func(m []byte) {
		mu.Lock()
		defer mu.Unlock()
		inbox = append(inbox, m)
	})
	config := Config{Failures: 3, FailureRatio: 0.5, WindowMS: 100, OpenMS: 1}
	used := a.Add(Backend{Name: backend, Config: config})
	seen := b.Add(Backend{Name: backend, Config: config})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 3000 {
				for j, br := range []*Breaker{used, seen} {
					if ticket, ok := br.Admit(); ok {
						br.Done(ticket, Result((n+i+j)%3))
					}
				}
			}
		})
	}
	wg.Go(func() {
		for range 300 {
			mu.Lock()
			pending := inbox
			inbox = nil
			mu.Unlock()
			for _, m := range pending {
				if err := b.Merge(m); err != nil {
					t.Error(err)
				}
			}
			b.Tick()
			b.Status()
			used.Configure(config)
		}
	})
	wg.Wait()
	mu.Lock()
	for _, m := range inbox { // what was sent last
		if err := b.Merge(m); err != nil {
			t.Error(err)
		}
	}
	mu.Unlock()
	for _, br := range []*Breaker{used, seen} {
		deadline := time.Now().Add(10 * time.Second)
		for br.gate.Load() != 0 && time.Now().Before(deadline) {
			if ticket, ok := br.Admit(); ok {
				br.Done(ticket, Success)
			}
		}
		if br.gate.Load() != 0 {
			t.Errorf("state %v: successes do not close it", br.state)
		}
	}
}
