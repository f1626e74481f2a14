package accuracy

import (
	"slices"
	"time"
)

// bucket is one exact bucket: GCRA, all state in the theoretical arrival time.
// It is the judge, so it shares no code with the limiter.
type bucket struct {
	interval time.Duration // of one token
	burst    int
	full     time.Duration // when it will be full again
}

func newBucket(rate float64, burst int) bucket {
	return bucket{interval: time.Duration(float64(time.Second) / rate), burst: burst}
}

// take takes n tokens at now or none.
func (b *bucket) take(now time.Duration, n int) bool {
	next := max(b.full, now) + time.Duration(n)*b.interval
	if next-now > time.Duration(b.burst)*b.interval {
		return false
	}
	b.full = next
	return true
}

// exact returns how many of the requests sent at these times a bucket admits
// that starts full.
func exact(sent []time.Duration, l limit) int {
	b, n := newBucket(float64(l.rate), l.burst), 0
	for _, at := range sent {
		if b.take(at, l.tokens()) {
			n++
		}
	}
	return n
}

// within returns the part of sorted times from one moment to another.
func within(at []time.Duration, from, to time.Duration) []time.Duration {
	first, _ := slices.BinarySearch(at, from)
	last, _ := slices.BinarySearch(at, to)
	return at[first:max(first, last)]
}

// excess returns the most that any second of sorted times holds beyond the rate;
// 0 if none holds more.
func excess(at []time.Duration, rate float64) float64 {
	most, first := 0, 0
	for last := range at {
		for at[last]-at[first] >= second {
			first++
		}
		most = max(most, last-first+1)
	}
	return max(0, float64(most)-rate)
}

// surplus returns the most that any window of any length holds beyond rate·w:
// the smallest burst that explains the sorted times.
func surplus(at []time.Duration, rate float64) float64 {
	var most, level float64
	for i := range at {
		if i > 0 {
			level = max(0, level-rate*(at[i]-at[i-1]).Seconds())
		}
		level++
		most = max(most, level)
	}
	return most
}
