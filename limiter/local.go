package limiter

import (
	"hash/maphash"
	"math/bits"
	"sync"

	"github.com/go-redis/redis_rate/v10"

	"github.com/go-api-gateway-pro/gateway/limiter/gcra"
)

const (
	shardCount    = 64 // one bit each in a uint64
	defaultMaxKey = 64 << 10
	evictScan     = 16
)

// store is this node's share of the buckets: TATs in memory, in nanoseconds
// since the limiter was made. It is bounded; when a shard is full a bucket that
// is full anyway, else one not used lately, is forgotten.
//
// Several buckets are decided at once by locking all shards they lie in, in
// ascending order. Safe for concurrent use.
type store struct {
	seed   maphash.Seed
	shards [shardCount]shard
}

// place is where a bucket of an ask is kept.
type place struct {
	shard int
	slot  int // -1: not there yet
	tat   int64
}

type shard struct {
	mu    sync.Mutex
	limit int
	index map[string]int
	slots []slot
	hand  int
	_     [64]byte // keeps the next shard's lock off this cache line
}

type slot struct {
	key  string
	id   string // of the limit
	tat  int64
	used bool
}

func newStore(maxKeys int) *store {
	s := &store{seed: maphash.MakeSeed()}
	for i := range s.shards {
		s.shards[i].index = make(map[string]int)
		s.shards[i].limit = max(maxKeys/shardCount, 1)
	}
	return s
}

// take decides a by the share of one of so many members, and charges all of its
// buckets or none.
func (s *store) take(a *ask, now int64, members int) {
	mask := s.locate(a)
	s.lock(mask)
	defer s.unlock(mask)
	for i, r := range a.rules {
		p := &a.places[i]
		s.shards[p.shard].load(a.key(i), p)
		var res gcra.Result
		p.tat, res = gcra.Take(p.tat, now, gcra.Share(r.gcra, members), a.costs[i])
		a.results[i] = fromShare(r.rate, res, a.costs[i])
	}
	a.settle()
	for i := range a.places {
		if a.allowed || a.results[i].Allowed == 0 {
			s.save(a, i, now)
		}
	}
}

// charge makes the mirror follow what Redis admitted.
func (s *store) charge(a *ask, now int64, members int) {
	mask := s.locate(a)
	s.lock(mask)
	defer s.unlock(mask)
	for i, r := range a.rules {
		p := &a.places[i]
		s.shards[p.shard].load(a.key(i), p)
		p.tat = gcra.Charge(p.tat, now, gcra.Share(r.gcra, members), a.costs[i])
		s.save(a, i, now)
	}
}

// retain forgets the buckets of all limits but those.
func (s *store) retain(ids map[string]bool) {
	for i := range s.shards {
		s.shards[i].retain(ids)
	}
}

// locate finds the shards of a, and returns them as a set.
func (s *store) locate(a *ask) (mask uint64) {
	a.places = a.places[:0]
	for i := range a.rules {
		n := int(maphash.Bytes(s.seed, a.key(i)) % shardCount)
		a.places = append(a.places, place{shard: n})
		mask |= 1 << n
	}
	return mask
}

func (s *store) lock(mask uint64) {
	for ; mask != 0; mask &= mask - 1 {
		s.shards[bits.TrailingZeros64(mask)].mu.Lock()
	}
}

func (s *store) unlock(mask uint64) {
	for ; mask != 0; mask &= mask - 1 {
		s.shards[bits.TrailingZeros64(mask)].mu.Unlock()
	}
}

func (s *store) save(a *ask, i int, now int64) {
	p := a.places[i]
	s.shards[p.shard].saveLocked(a.key(i), a.rules[i].limit.ID, p, now)
}

// load fills in where the bucket is and its TAT; a bucket never seen is full.
func (s *shard) load(key []byte, p *place) {
	n, ok := s.index[string(key)]
	if !ok {
		p.slot, p.tat = -1, 0
		return
	}
	s.slots[n].used = true
	p.slot, p.tat = n, s.slots[n].tat
}

func (s *shard) saveLocked(key []byte, id string, p place, now int64) {
	// The slot may have gone to another bucket of the same check since load.
	if p.slot >= 0 && s.slots[p.slot].key == string(key) {
		s.slots[p.slot].tat = p.tat
		return
	}
	n := s.freeLocked(now)
	s.slots[n] = slot{key: string(key), id: id, tat: p.tat, used: true}
	s.index[s.slots[n].key] = n
}

// freeLocked returns a slot to write to: a new one while there is room.
func (s *shard) freeLocked(now int64) int {
	if len(s.slots) < s.limit {
		s.slots = append(s.slots, slot{})
		return len(s.slots) - 1
	}
	victim := s.hand
	for range min(evictScan, len(s.slots)) {
		victim = s.hand
		s.hand = (s.hand + 1) % len(s.slots)
		c := &s.slots[victim]
		if c.tat <= now || !c.used {
			break
		}
		c.used = false
	}
	delete(s.index, s.slots[victim].key)
	return victim
}

func (s *shard) retain(ids map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.slots[:0]
	clear(s.index)
	for _, c := range s.slots {
		if ids[c.id] {
			s.index[c.key] = len(kept)
			kept = append(kept, c)
		}
	}
	clear(s.slots[len(kept):])
	s.slots, s.hand = kept, 0
}

// fromShare puts a local result into the form Redis answers have.
func fromShare(limit redis_rate.Limit, r gcra.Result, cost int) redis_rate.Result {
	res := redis_rate.Result{
		Limit:      limit,
		Remaining:  r.Remaining,
		RetryAfter: r.RetryAfter,
		ResetAfter: r.ResetAfter,
	}
	if r.Allowed {
		res.Allowed, res.RetryAfter = cost, -1
	}
	return res
}
