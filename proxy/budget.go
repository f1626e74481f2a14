package proxy

import (
	"sync/atomic"
	"time"
)

const (
	// One retry costs a thousand; every request brings its route's ratio of that.
	retryCost = 1000
	// budgetReserve lets a quiet upstream have ten retries at once, and one a
	// second after that.
	budgetReserve = 10 * retryCost
	budgetRefill  = retryCost // per second
)

// budget bounds the retries that an upstream has to bear when it is already
// failing: by a share of its live traffic, so that an outage is not multiplied
// by everyone's patience. While it is full a request costs one atomic load.
type budget struct {
	left     atomic.Int64
	refilled atomic.Int64 // Unix time in nanoseconds
}

func newBudget(now time.Time) *budget {
	b := &budget{}
	b.left.Store(budgetReserve)
	b.refilled.Store(now.UnixNano())
	return b
}

// earn adds what one request brings.
func (b *budget) earn(ratio float64) { b.add(int64(ratio * retryCost)) }

func (b *budget) add(amount int64) {
	for {
		left := b.left.Load()
		if left >= budgetReserve {
			return
		}
		if b.left.CompareAndSwap(left, min(left+amount, budgetReserve)) {
			return
		}
	}
}

// peek returns what spend would find.
func (b *budget) peek(now time.Time) int64 {
	passed := min(max(now.UnixNano()-b.refilled.Load(), 0), int64(time.Minute))
	return min(b.left.Load()+passed*budgetRefill/int64(time.Second), budgetReserve)
}

// spend takes the price of one retry, if it is there.
func (b *budget) spend(now time.Time) bool {
	last := b.refilled.Load()
	passed := min(now.UnixNano()-last, int64(time.Minute)) // more than a full reserve, and no overflow
	if gained := passed * budgetRefill / int64(time.Second); gained > 0 && b.refilled.CompareAndSwap(last, now.UnixNano()) {
		b.add(gained)
	}
	for {
		left := b.left.Load()
		if left < retryCost {
			return false
		}
		if b.left.CompareAndSwap(left, left-retryCost) {
			return true
		}
	}
}
