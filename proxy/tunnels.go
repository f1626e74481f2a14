package proxy

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// tunnels are the tunnels that run. They survive every configuration.
type tunnels struct {
	open prometheus.Gauge

	mu      sync.Mutex
	running map[*Tunnel]struct{}
	closing bool
	all     sync.WaitGroup
}

func newTunnels(r prometheus.Registerer) *tunnels {
	t := &tunnels{
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gateway_tunnels_open", Help: "WebSockets under way.",
		}),
		running: map[*Tunnel]struct{}{},
	}
	if r != nil {
		r.MustRegister(t.open)
	}
	return t
}

// add returns false once tunnels are being closed.
func (t *tunnels) add(one *Tunnel) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return false
	}
	t.running[one] = struct{}{}
	t.all.Add(1)
	t.open.Inc()
	return true
}

func (t *tunnels) remove(one *Tunnel) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.running, one)
	t.open.Dec()
	t.all.Done()
}

func (t *tunnels) list() []*Tunnel {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.running))
}

// CloseTunnels sends every client of a WebSocket a close frame (1001, going
// away) and waits until all have gone; at the end of ctx the rest is cut off.
// From then on no tunnel begins.
func (b *Backends) CloseTunnels(ctx context.Context) {
	t := b.tunnels
	t.mu.Lock()
	t.closing = true
	t.mu.Unlock()
	gone := make(chan struct{})
	for _, one := range t.list() {
		t.all.Go(one.leave) // may wait for a slow client
	}
	go func() {
		defer close(gone)
		t.all.Wait()
	}()
	select {
	case <-gone:
	case <-ctx.Done():
		for _, one := range t.list() {
			one.interrupt()
		}
		<-gone
	}
}
