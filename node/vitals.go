package node

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// vitals measures the last second for the cluster's display: never used in a
// decision. Latencies are counted in powers of two of a microsecond; p99 is read
// as its bucket's upper bound.
type vitals struct {
	buckets [40]atomic.Uint64
	errors  atomic.Uint64
	limited atomic.Uint64
}

func (v *vitals) observe(status int, took time.Duration) {
	i := bits.Len64(uint64(max(took.Microseconds(), 0)))
	v.buckets[min(i, len(v.buckets)-1)].Add(1)
	switch {
	case status >= 500:
		v.errors.Add(1)
	case status == fasthttp.StatusTooManyRequests:
		v.limited.Add(1)
	}
}

// reading is a second's worth.
type reading struct {
	requests, errors, limited uint64
	p99                       time.Duration
}

// take returns what was counted since the last take.
func (v *vitals) take() reading {
	r := reading{errors: v.errors.Swap(0), limited: v.limited.Swap(0)}
	var counts [len(v.buckets)]uint64
	for i := range v.buckets {
		counts[i] = v.buckets[i].Swap(0)
		r.requests += counts[i]
	}
	rank := r.requests - r.requests/100
	for i, seen := 0, uint64(0); i < len(counts) && r.requests > 0; i++ {
		if seen += counts[i]; seen >= rank {
			r.p99 = time.Duration(1<<i) * time.Microsecond
			break
		}
	}
	return r
}
