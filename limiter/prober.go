package limiter

import (
	"context"
	"time"
)

const beatEvery = time.Second

// prober brings the breaker back. One goroutine per limiter asks; requests
// never do.
type prober struct {
	breaker *breaker
	probe   func(ctx context.Context) error // one check of the whole path
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
		if !sleep(ctx, p.breaker.pause()) {
			return false
		}
		p.breaker.try()
		if p.good(ctx) {
			return true
		}
		p.breaker.reopen()
	}
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
