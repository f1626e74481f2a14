package limiter

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
)

const (
	maxKeyLen  = 128
	hashMarker = "sha256:"
)

// The life of an ask on its way through Redis. Whoever moves it away from
// waiting owns what follows: the worker the answer, the caller the decision.
const (
	askWaiting int32 = iota
	askAnswered
	askAbandoned
)

// ask is one Check on its way: what is asked for, then what was answered. Asks
// are pooled, but one that was abandoned is left to the collector, because a
// worker may still be sending it.
type ask struct {
	rules   []*rule
	costs   []int
	results []redis_rate.Result // one per bucket, set by whoever decides
	allowed bool                // all of them fit

	buf  []byte // the keys, one after the other
	ends []int

	places []place // where the local store keeps the buckets

	text  []string // the keys once more, for the wire
	args  []any
	reply []int64
	state atomic.Int32
	err   error
	done  chan struct{}
	timer *time.Timer
}

func newAsk() *ask {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return &ask{done: make(chan struct{}, 1), timer: timer}
}

// reset forgets the last use, but keeps the memory.
func (a *ask) reset() {
	a.rules, a.costs, a.results = a.rules[:0], a.costs[:0], a.results[:0]
	a.buf, a.ends, a.places = a.buf[:0], a.ends[:0], a.places[:0]
	a.text = a.text[:0]
	clear(a.args)
	a.args = a.args[:0]
	a.allowed, a.err, a.reply = false, nil, nil
	a.state.Store(askWaiting)
}

// add appends one bucket. The same bucket twice is one with the costs added up.
func (a *ask) add(r *rule, key string, cost int) {
	start := len(a.buf)
	a.buf = append(a.buf, r.prefix...)
	a.buf = appendKey(a.buf, key)
	for i := range a.ends {
		if bytes.Equal(a.key(i), a.buf[start:]) {
			a.buf = a.buf[:start]
			a.costs[i] += cost
			return
		}
	}
	a.rules = append(a.rules, r)
	a.costs = append(a.costs, cost)
	a.ends = append(a.ends, len(a.buf))
	a.results = append(a.results, redis_rate.Result{})
}

func (a *ask) key(i int) []byte {
	if i == 0 {
		return a.buf[:a.ends[0]]
	}
	return a.buf[a.ends[i-1]:a.ends[i]]
}

// spell makes the keys strings, all with one allocation.
func (a *ask) spell() {
	all := string(a.buf)
	start := 0
	for _, end := range a.ends {
		a.text = append(a.text, all[start:end])
		start = end
	}
}

// outcome is the source of an answered ask: redis if the answer was one.
func (a *ask) outcome() Source {
	if a.err != nil {
		return SourceLocal
	}
	a.adopt()
	return SourceRedis
}

// settle derives the outcome from the results.
func (a *ask) settle() {
	a.allowed = true
	for i := range a.results {
		a.allowed = a.allowed && a.results[i].Allowed > 0
	}
}

// decision turns the results into the answer to the caller.
func (a *ask) decision(source Source) Decision {
	d := Decision{Allowed: a.allowed, Source: source}
	if a.allowed {
		a.tightest(&d)
	} else {
		a.longest(&d)
	}
	return d
}

func (a *ask) longest(d *Decision) {
	for i := range a.results {
		r := &a.results[i]
		if r.Allowed == 0 && (d.Limit == nil || r.RetryAfter > d.RetryAfter) {
			d.Limit, d.Remaining = a.rules[i].limit, r.Remaining
			d.RetryAfter, d.ResetAfter = r.RetryAfter, r.ResetAfter
		}
	}
}

func (a *ask) tightest(d *Decision) {
	for i := range a.results {
		r, limit := &a.results[i], a.rules[i].limit
		if a.rules[i].scope == scopeGlobal {
			continue
		}
		if d.Limit == nil || fill(r.Remaining, limit) < fill(d.Remaining, d.Limit) {
			d.Limit, d.Remaining, d.ResetAfter = limit, r.Remaining, r.ResetAfter
		}
	}
}

func fill(remaining int, limit *Limit) float64 {
	return float64(remaining) / float64(limit.Burst)
}

// appendKey appends key, or its hash where it is long, so that a client cannot
// choose how much memory its bucket takes. A short key that looks like a hash
// is hashed as well: it must not meet the bucket of another.
func appendKey(buf []byte, key string) []byte {
	if len(key) <= maxKeyLen && !strings.HasPrefix(key, hashMarker) {
		return append(buf, key...)
	}
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.AppendEncode(append(buf, hashMarker...), sum[:])
}
