package limiter

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Usage is how a limit was used lately, as far as this node has seen.
type Usage struct {
	// Used is the part of the emptiest bucket that is taken: 0 if all are full, 1
	// if one has nothing left. Without Redis it is that of this node's share.
	Used float64
	// Denied counts the requests that the limit denied, or would have if it is a
	// shadow.
	Denied uint64
}

// usage is kept for each rule, for display. What costs the request path is a load
// and, where a bucket is emptier than any before it, a store: when a bucket will
// be full tells how empty it is at any later time, so nothing has to be reset and
// nobody has to come by to let it age.
type usage struct {
	_      [64]byte     // keeps the stores off the cache line that every check reads
	full   atomic.Int64 // when the emptiest bucket will be full
	denied atomic.Uint64
	_      [64]byte
}

// note looks at what was decided on one bucket. Of two that race the later one
// may win: a reading is lost, which the next one makes up for.
func (u *usage) note(it *item, now int64) {
	if full := now + int64(it.result.ResetAfter); full > u.full.Load() {
		u.full.Store(full)
	}
	if it.result.Allowed == 0 {
		u.denied.Add(1)
	}
}

// noteUsage follows a decision on a.
func (a *ask) noteUsage(now int64) {
	for i := range a.items {
		a.items[i].rule.usage.note(&a.items[i], now)
	}
}

// used is the part of the rule's emptiest bucket that is taken.
func (r *rule) used(now int64) float64 {
	return min(max(float64(r.usage.full.Load()-now), 0)/float64(r.fill()), 1)
}

// Usage returns how each limit is used, by its ID. It asks nobody.
func (l *Limiter) Usage() map[string]Usage {
	now := l.elapsed()
	l.rules.mu.Lock()
	defer l.rules.mu.Unlock()
	out := make(map[string]Usage, len(l.rules.byValue))
	for limit, r := range l.rules.byValue {
		u := out[limit.ID] // of the same limit with other numbers, before a reload
		u.Used = max(u.Used, r.used(now))
		u.Denied += r.usage.denied.Load()
		out[limit.ID] = u
	}
	return out
}

// Decisions counts the checks by what decided them, by the names of [Source].
func (l *Limiter) Decisions() map[string]uint64 {
	out := make(map[string]uint64, sourceCount)
	for source, seconds := range l.metrics.seconds {
		var m dto.Metric
		if histogram, ok := seconds.(prometheus.Metric); ok && histogram.Write(&m) == nil {
			out[Source(source).String()] = m.GetHistogram().GetSampleCount()
		}
	}
	return out
}
