package proxy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func newGate(limit int) *gate {
	g := &gate{}
	g.resize(limit)
	return g
}

func TestGateLetsInInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2)
		for range 2 {
			if err := g.enter(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
		var order []int
		for i := range 2 {
			go func() {
				if err := g.enter(t.Context(), time.Hour); err != nil {
					t.Error(err)
				}
				order = append(order, i)
			}()
			synctest.Wait()
		}
		if err := g.enter(t.Context(), time.Hour); !errors.Is(err, errFull) {
			t.Errorf("got %v, want the line to be full", err)
		}
		g.leave()
		synctest.Wait()
		g.leave()
		synctest.Wait()
		if len(order) != 2 || order[0] != 0 {
			t.Errorf("got %v", order)
		}
		if got := g.inside.Load(); got != 2 {
			t.Errorf("%d are inside", got)
		}
	})
}

func TestGateWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1)
		g.inside.Add(1)
		f := func(ctx context.Context, wait, want time.Duration) {
			t.Helper()
			start := time.Now()
			if err := g.enter(ctx, wait); !errors.Is(err, errStuck) || time.Since(start) != want {
				t.Errorf("got %v after %v", err, time.Since(start))
			}
			if n := g.waiting.Load(); n != 0 {
				t.Errorf("%d are left in line", n)
			}
		}
		f(t.Context(), 0, 0)
		f(t.Context(), time.Second, time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f(ctx, time.Hour, time.Second)
		g.resize(2)
		if err := g.enter(t.Context(), 0); err != nil {
			t.Errorf("got %v after the limit grew", err)
		}
	})
}

func TestGrowingGateLetsWaitersIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1)
		g.inside.Add(1)
		in := false
		go func() { in = g.enter(t.Context(), time.Hour) == nil }()
		synctest.Wait()
		g.resize(2)
		synctest.Wait()
		if !in {
			t.Error("the one in line still waits")
		}
	})
}

// Nobody is forgotten in line, and never are more inside than allowed.
func TestGateUnderContention(t *testing.T) {
	g := newGate(3)
	done := make(chan struct{})
	for range 6 { // as many as may be inside and in line
		go func() {
			defer func() { done <- struct{}{} }()
			for range 2000 {
				if err := g.enter(context.Background(), time.Minute); err != nil {
					t.Error(err)
					return
				}
				if n := g.inside.Load(); n > 3 {
					t.Errorf("%d are inside", n)
				}
				g.leave()
			}
		}()
	}
	for range 6 {
		<-done
	}
	if g.inside.Load() != 0 || g.waiting.Load() != 0 {
		t.Errorf("%d inside and %d in line are left", g.inside.Load(), g.waiting.Load())
	}
}

func BenchmarkGate(b *testing.B) {
	g := newGate(100)
	b.ReportAllocs()
	for b.Loop() {
		if err := g.enter(context.Background(), time.Second); err != nil {
			b.Fatal(err)
		}
		g.leave()
	}
}
