package limiter

import (
	"context"
	"time"
)

// prober brings the breaker back. One goroutine per limiter asks; requests
// never do.
type prober struct {
	breaker *breaker
	probe   func(ctx context.Context) error // one check of the whole path
	warm    func(ctx context.Context)       // makes the connections ready
	onClose func()
	now     func() int64
}

// run warms the connections, then waits for the breaker to open and leads it
// back, until ctx is done.
func (p *prober) run(ctx context.Context) {
	p.warm(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.breaker.opened:
		}
		if !p.recover(ctx) {
			return
		}
		p.warm(ctx)
		p.breaker.close(p.now())
		p.onClose()
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
