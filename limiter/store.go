package limiter

import (
	"hash/maphash"
	"math/bits"
	"sync"
)

const (
	shardCount    = 64 // one bit each in a uint64
	defaultMaxKey = 64 << 10
	evictScan     = 16
)

// store is what this node knows of the buckets it has seen: its own share of
// each, the last denial, tokens drawn ahead. It is bounded; when a shard is full
// a bucket that is full anyway, else one not used lately, is forgotten.
//
// Several buckets are decided at once by locking all shards they lie in, in
// ascending order. Nothing is waited for under a lock. Safe for concurrent use.
type store struct {
	seed    maphash.Seed
	shards  [shardCount]shard
	drawn   drawn
	metrics *metrics
}

// place is where a bucket of an ask is kept, as long as the shard's version is this.
type place struct {
	shard, slot int
	version     uint64
}

type shard struct {
	mu    sync.Mutex
	limit int
	index map[string]int
	slots []slot
	hand  int
	// version changes, from 1, when a bucket may have moved or gone.
	version uint64
	_       [64]byte // keeps the next shard's lock off this cache line
}

// slot is one bucket.
type slot struct {
	key    string
	rule   *rule
	used   bool
	share  share
	demand demand
	denial denial
	lease  *lease // nil until tokens are first drawn ahead
}

func newStore(maxKeys int, m *metrics) *store {
	s := &store{seed: maphash.MakeSeed(), metrics: m, drawn: drawn{wake: make(chan struct{}, 1)}}
	for i := range s.shards {
		s.shards[i].index, s.shards[i].version = make(map[string]int), 1
		s.shards[i].limit = max(maxKeys/shardCount, 1)
	}
	return s
}

// acquire locks the shards of a; release with the result.
func (s *store) acquire(a *ask) (mask uint64) {
	for i := range a.items {
		n := int(maphash.Bytes(s.seed, a.key(i)) % shardCount)
		a.items[i].place = place{shard: n} // of no version: not found yet
		mask |= 1 << n
	}
	for rest := mask; rest != 0; rest &= rest - 1 {
		s.shards[bits.TrailingZeros64(rest)].mu.Lock()
	}
	return mask
}

func (s *store) release(mask uint64) {
	for ; mask != 0; mask &= mask - 1 {
		s.shards[bits.TrailingZeros64(mask)].mu.Unlock()
	}
}

// slot returns the slot of bucket i, making one for a bucket never seen. It is
// valid until the next call: that may need the room.
func (s *store) slot(a *ask, i int, now int64) *slot {
	it := &a.items[i]
	sh := &s.shards[it.place.shard]
	if it.place.version == sh.version {
		return &sh.slots[it.place.slot]
	}
	it.place.slot = sh.findLocked(a.key(i), now)
	it.place.version = sh.version
	c := &sh.slots[it.place.slot]
	c.rule, c.used = it.rule, true
	return c
}

// with runs f on the slot of the key, if there is one.
func (s *store) with(key string, f func(c *slot)) {
	sh := &s.shards[maphash.String(s.seed, key)%shardCount]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if n, ok := sh.index[key]; ok {
		f(&sh.slots[n])
	}
}

// retain forgets the buckets of all limits but those.
func (s *store) retain(ids map[string]bool) {
	for i := range s.shards {
		s.shards[i].retain(ids)
	}
}

// findLocked returns where the key is kept, which is made if there is no such place.
func (s *shard) findLocked(key []byte, now int64) int {
	if n, ok := s.index[string(key)]; ok {
		return n
	}
	n := s.freeLocked(now)
	s.version++
	s.slots[n] = slot{key: string(key)}
	s.index[s.slots[n].key] = n
	return n
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
		if !c.used || c.idle(now) {
			break
		}
		c.used = false
	}
	delete(s.index, s.slots[victim].key)
	return victim
}

// idle tells whether nothing would be lost with the slot.
func (c *slot) idle(now int64) bool {
	return c.share.tat <= now && c.denial.until <= now && c.lease == nil
}

func (s *shard) retain(ids map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.slots[:0]
	s.version++
	clear(s.index)
	for _, c := range s.slots {
		if ids[c.rule.limit.ID] {
			s.index[c.key] = len(kept)
			kept = append(kept, c)
		}
	}
	clear(s.slots[len(kept):])
	s.slots, s.hand = kept, 0
}
