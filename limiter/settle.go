package limiter

import (
	"context"
	"time"
)

// settlePace is the pause between two batches of debts, so that a return with
// tens of thousands of buckets does not keep Redis from answering checks.
const settlePace = 5 * time.Millisecond

// post is tokens to be charged to a bucket in Redis without asking, or, below
// zero, to be put back.
type post struct {
	key    string
	rule   *rule
	tokens int
}

// settle charges Redis with what was taken without it, until nothing is owed.
// Buckets asked for meanwhile carry their debt along themselves. Until it is
// done the node counts as one without Redis, and the others leave it its share.
func (l *Limiter) settle(ctx context.Context) {
	for i := range l.local.shards {
		for l.breaker.closed() {
			v := l.view()
			debts := l.local.shards[i].debts(v)
			if len(debts) == 0 {
				break
			}
			l.remote.post(debts)
			l.local.paid(debts, l.view())
			if !sleep(ctx, settlePace) {
				return
			}
		}
	}
}

// debts takes up to a batch of debts on their way.
func (s *shard) debts(v view) []post {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []post
	for i := range s.slots {
		c := &s.slots[i]
		if c.share.settling || !c.share.owing {
			continue
		}
		if owed := c.share.debt(v.now, c.rule, v.members); owed > 0 {
			c.share.settling = true
			out = append(out, post{key: c.key, rule: c.rule, tokens: owed})
			if len(out) == batchMax {
				break
			}
		}
	}
	return out
}

// paid notes that the debts have arrived, or may have.
func (s *store) paid(debts []post, v view) {
	for _, d := range debts {
		s.metrics.settled.Add(float64(d.tokens))
		s.with(d.key, func(c *slot) { c.share.settled(v.now, d.rule, v.members, d.tokens) })
	}
}
