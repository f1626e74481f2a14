package limiter

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

func threeBuckets(rate int) []Bucket {
	return []Bucket{
		{Limit: perSecond("all", ScopeGlobal, rate, rate)},
		{Limit: perSecond("route", ScopeUser, rate, rate), Key: "user-4711"},
		{Limit: perSecond("route2", ScopeIP, rate, rate), Key: "203.0.113.77"},
	}
}

// One check without Redis: three buckets in memory.
func BenchmarkLocalCheck(b *testing.B) {
	l := newTest(b, nil)
	buckets := threeBuckets(1000)
	b.ReportAllocs()
	for b.Loop() {
		l.Check(b.Context(), buckets)
	}
}

// One check paid from tokens drawn ahead.
func BenchmarkLeaseHit(b *testing.B) {
	for _, n := range []int{1, 3} {
		b.Run(fmt.Sprint(n, "-buckets"), func(b *testing.B) {
			s := newServer(b)
			l := newTest(b, s.on) // the clock stands: nothing expires
			buckets := threeBuckets(100_000)[:n]
			admitted(b, l, 50, buckets...)
			stock := func() {
				for i := range l.local.shards {
					for j := range l.local.shards[i].slots {
						if c := &l.local.shards[i].slots[j]; c.lease != nil {
							c.lease.tokens = 1 << 40
						}
					}
				}
			}
			stock()
			if d := l.Check(b.Context(), buckets); d.Source != SourceLease {
				b.Fatalf("got %+v, want a lease", d)
			}
			b.ReportAllocs()
			for b.Loop() {
				l.Check(b.Context(), buckets)
			}
		})
	}
}

// One check denied because Redis has said no a moment ago.
func BenchmarkDenyHit(b *testing.B) {
	s := newServer(b)
	l := newTest(b, s.on)
	bucket := []Bucket{{Limit: perSecond("r", ScopeIP, 1, 1), Key: "203.0.113.77"}}
	admitted(b, l, 2, bucket...)
	if d := l.Check(b.Context(), bucket); d.Source != SourceDeny {
		b.Fatalf("got %+v, want the denial remembered", d)
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Check(b.Context(), bucket)
	}
}

// One check that asks Redis, with others beside it: a miniredis in this process,
// so the time is mostly its own.
func BenchmarkRedisCheck(b *testing.B) {
	s := miniredis.RunT(b)
	l := newTest(b, on(s.Addr()))
	buckets := threeBuckets(100_000)
	for i := range buckets {
		buckets[i].Limit.Strict = true
	}
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Check(context.Background(), buckets)
		}
	})
	b.ReportMetric(writes(l)/float64(b.N), "writes/op")
}

func BenchmarkKeys(b *testing.B) {
	a, set := newAsk(), newRules("p")
	limit := perSecond("route", ScopeUser, 1, 1)
	key := fmt.Sprint("user-", 4711)
	b.ReportAllocs()
	for b.Loop() {
		a.reset()
		a.add(set.get(limit), key, 1)
	}
}

// A million distinct users: what they leave in memory is bounded.
func BenchmarkMillionKeys(b *testing.B) {
	limit := perSecond("route", ScopeUser, 1000, 1000)
	for b.Loop() {
		before := heap()
		l := newTest(b, nil)
		for i := range 1_000_000 {
			l.Check(b.Context(), []Bucket{{Limit: limit, Key: fmt.Sprint("user-", i)}})
		}
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
		runtime.KeepAlive(l)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
