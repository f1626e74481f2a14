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
	askAhead // nobody waits for it
)

// via is how one bucket of an ask is decided.
type via uint8

const (
	viaCharge via = iota // by Redis, with all others or not at all
	viaRefill            // by a lease that Redis refills with this ask
	viaLease             // by tokens in hand, which the ask has taken
	viaShadow            // by Redis, but nothing depends on it
)

// ask is one Check on its way: what is asked for, then what was answered. Asks
// are pooled, but one that was abandoned is left to the collector, because a
// worker still has it.
type ask struct {
	items   []item
	buf     []byte // the keys, one after the other
	counted bool   // as demand
	low     bool   // some stock should be filled up, which items have flights for
	allowed bool
	source  Source

	text  []string // the keys once more, for the wire
	args  []any
	state atomic.Int32
	err   error
	done  chan struct{}
	timer *time.Timer
}

// item is one bucket of an ask.
type item struct {
	rule   *rule
	cost   int
	end    int // of its key in buf
	place  place
	result redis_rate.Result // Allowed is at least 1 if the cost fits

	via    via
	need   int // tokens without which the request is denied
	want   int // tokens asked for
	owed   int // tokens taken while Redis was away
	terms  *terms
	flight *flight // of the refill that travels with this ask, or that is to follow it
}

func newAsk() *ask {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return &ask{done: make(chan struct{}, 1), timer: timer}
}

// reset forgets the last use, but keeps the memory.
func (a *ask) reset() {
	clear(a.items)
	clear(a.text)
	clear(a.args)
	a.items, a.buf, a.text, a.args = a.items[:0], a.buf[:0], a.text[:0], a.args[:0]
	a.counted, a.low, a.allowed, a.source, a.err = false, false, false, SourceNone, nil
	a.state.Store(askWaiting)
}

// add appends one bucket. The same bucket twice is one with the costs added up.
func (a *ask) add(r *rule, key string, cost int) {
	start := len(a.buf)
	a.buf = append(a.buf, r.prefix...)
	a.buf = appendKey(a.buf, key)
	for i := range a.items {
		if bytes.Equal(a.key(i), a.buf[start:]) {
			a.buf = a.buf[:start]
			a.items[i].cost += cost
			return
		}
	}
	a.items = append(a.items, item{rule: r, cost: cost, end: len(a.buf)})
}

func (a *ask) key(i int) []byte {
	if i == 0 {
		return a.buf[:a.items[0].end]
	}
	return a.buf[a.items[i-1].end:a.items[i].end]
}

// spell makes the keys strings, all with one allocation.
func (a *ask) spell() {
	all := string(a.buf)
	start := 0
	for i := range a.items {
		a.text = append(a.text, all[start:a.items[i].end])
		start = a.items[i].end
	}
}

// settle derives the outcome from the results: shadows have no say.
func (a *ask) settle() {
	a.allowed = true
	for i := range a.items {
		it := &a.items[i]
		a.allowed = a.allowed && (it.result.Allowed > 0 || it.rule.limit.Shadow)
	}
}

// decision turns the results into the answer to the caller.
func (a *ask) decision() Decision {
	d := Decision{Allowed: a.allowed, Source: a.source}
	for i := range a.items {
		it := &a.items[i]
		switch {
		case it.rule.limit.Shadow:
			if d.Shadow == nil && it.result.Allowed == 0 {
				d.Shadow = &it.rule.limit
			}
		case a.allowed:
			d.keepTightest(it)
		default:
			d.keepLongest(it)
		}
	}
	return d
}

// keepLongest describes it if it denies for longer than what d describes.
func (d *Decision) keepLongest(it *item) {
	if it.result.Allowed == 0 && (d.Limit == nil || it.result.RetryAfter > d.RetryAfter) {
		d.describe(it)
		d.RetryAfter = it.result.RetryAfter
	}
}

// keepTightest describes it if it is closer to its end than what d describes.
// How much the global bucket holds is nobody's business.
func (d *Decision) keepTightest(it *item) {
	if it.rule.scope == scopeGlobal {
		return
	}
	if d.Limit == nil || fill(it.result.Remaining, &it.rule.limit) < fill(d.Remaining, d.Limit) {
		d.describe(it)
	}
}

func (d *Decision) describe(it *item) {
	d.Limit = &it.rule.limit
	d.Remaining, d.ResetAfter = it.result.Remaining, it.result.ResetAfter
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
