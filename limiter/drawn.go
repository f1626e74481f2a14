package limiter

import (
	"context"
	"sync"
	"time"
)

// drawn are the buckets that hold tokens drawn ahead. Safe for concurrent use.
type drawn struct {
	mu   sync.Mutex
	keys []string
	wake chan struct{} // holds a signal after the first of them
}

// add lists a bucket, once until the sweeper took it off.
func (d *drawn) add(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys = append(d.keys, key)
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *drawn) takeAll() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	keys := d.keys
	d.keys = nil
	return keys
}

// reclaim takes what is left of all leases that have expired, or of all if
// everything, and returns what is worth sending back.
func (s *store) reclaim(now int64, everything bool) []post {
	var back []post
	for _, key := range s.drawn.takeAll() {
		s.with(key, func(c *slot) {
			l := c.lease
			switch {
			case l == nil:
			case l.inUse(now) && !everything:
				s.drawn.add(key)
			case l.tokens == 0 && l.flight == nil:
				c.lease = nil // a new one is made when it is hot again
			default:
				l.drawn = false
				if s.worthReturning(l, everything) {
					back = append(back, post{key: key, rule: c.rule, tokens: -l.tokens})
				}
				l.tokens = 0
			}
		})
	}
	return back
}

// worthReturning tells whether more than a tenth of the grant was left. Less is
// not worth a write; the limit is that much lower for a moment.
func (s *store) worthReturning(l *lease, everything bool) bool {
	if l.tokens == 0 || 10*l.tokens <= l.refill && !everything {
		s.metrics.leaseExpired.Add(float64(l.tokens))
		return false
	}
	s.metrics.leaseReturned.Add(float64(l.tokens))
	return true
}

// sweep sends back, every τ while there is anything, what leases did not use.
func (l *Limiter) sweep(ctx context.Context) {
	ticker := time.NewTicker(leaseHorizon)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.local.drawn.wake:
		}
		for l.local.drawn.some() {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			l.giveBack(l.local.reclaim(l.elapsed(), false))
		}
	}
}

// giveBack posts refunds while Redis is there. A refund is never sent twice: if
// it is lost, the limit is a little lower for a moment.
func (l *Limiter) giveBack(back []post) {
	for len(back) > 0 && l.breaker.closed() {
		n := min(len(back), batchMax)
		l.remote.post(back[:n])
		back = back[n:]
	}
}

func (d *drawn) some() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.keys) > 0
}
