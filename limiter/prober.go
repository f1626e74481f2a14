package limiter

import (
	"context"
	"time"
)

const (
	beatEvery = time.Second
	peersEach = 100 * time.Millisecond // how often the peers are looked at
)

// prober brings the breaker back. One goroutine per limiter asks; requests
// never do.
type prober struct {
	breaker *breaker
	probe   func(ctx context.Context) error // one check of the whole path
	peers   func() int                      // how many others are without Redis; nil: none
	warm    func(ctx context.Context)       // makes the connections ready
	onClose func(ctx context.Context)
	now     func() int64
}

// run warms the connections, then waits for the breaker to open and leads it
// back, until ctx is done. An idle breaker gets a probe each second.
func (p *prober) run(ctx context.Context) {
	p.warm(ctx)
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			p.beat(ctx)
			continue
		case <-p.breaker.opened:
		}
		if !p.recover(ctx) {
			return
		}
		p.warm(ctx)
		beat.Reset(beatEvery)
		p.breaker.close(p.now())
		p.onClose(ctx)
	}
}

// beat asks in place of the checks while there are none, so that an idle node
// knows as well that Redis is gone.
func (p *prober) beat(ctx context.Context) {
	if !p.breaker.idle() || !p.breaker.closed() {
		return
	}
	if err := p.probe(ctx); err != nil && ctx.Err() == nil {
		p.breaker.fail(1, isTimeout(err), p.now())
	}
}

// recover returns when Redis is good again, or false when ctx is done.
func (p *prober) recover(ctx context.Context) bool {
	for {
		if !p.await(ctx, p.breaker.pause()) {
			return false
		}
		p.breaker.try()
		if p.good(ctx) {
			return true
		}
		p.breaker.reopen()
	}
}

// await waits for d, or until a peer is back: what it found is likely to be there
// for all, and nodes that return together leave each other's shares unused for
// less long. The shortest pause is kept. It is false when ctx is done.
func (p *prober) await(ctx context.Context, d time.Duration) bool {
	if !sleep(ctx, min(d, openMin)) {
		return false
	}
	without := p.without()
	for rest := d - openMin; rest > 0; rest -= peersEach {
		if !sleep(ctx, min(rest, peersEach)) {
			return false
		}
		now := p.without()
		if now < without {
			return true
		}
		without = now
	}
	return true
}

// without is how many peers are without Redis.
func (p *prober) without() int {
	if p.peers == nil {
		return 0
	}
	return p.peers()
}

func (p *prober) good(ctx context.Context) bool {
	for range probesToClose {
		if p.probe(ctx) != nil {
			return false
		}
	}
	return true
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
