package auth

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	cacheShards = 16
	// A shard holds two generations, so at most 4096 entries and 2 MiB of token text.
	generationEntries = 2048
	generationBytes   = 1 << 20
)

// tokenCache remembers verified tokens. Only tokens that verified get in, so a crowd with made-up tokens
// cannot push anybody out. Memory is bounded by entries and by bytes (16 shards of 2 MiB). Forgetting is
// by generation: when the young one is full it becomes the old one, and what was old is dropped at once.
// That is coarser than least-recently-used and needs no write on a hit in the young generation.
type tokenCache struct {
	seed   maphash.Seed
	shards [cacheShards]cacheShard
}

type cacheShard struct {
	mu    sync.RWMutex
	young map[uint64]*cachedToken
	old   map[uint64]*cachedToken
	bytes int // token text in young
}

// cachedToken is immutable once it is in the cache.
type cachedToken struct {
	token     string
	principal Principal
	keys      uint64 // the generation of keys it was verified with
	from      time.Time
	until     time.Time
}

func newTokenCache() *tokenCache {
	c := &tokenCache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].young = map[uint64]*cachedToken{}
	}
	return c
}

// get returns the principal of a token that verified before, with the keys that are still in use, and holds
// at now. It does not allocate when the entry is young.
func (c *tokenCache) get(token []byte, keys uint64, now time.Time) (Principal, bool) {
	hash := maphash.Bytes(c.seed, token)
	s := &c.shards[hash%cacheShards]
	entry, young := s.find(hash)
	// Hashes collide; only equal text is the same token.
	if entry == nil || entry.token != string(token) || entry.keys != keys || now.Before(entry.from) || !now.Before(entry.until) {
		return Principal{}, false
	}
	if !young {
		s.insert(hash, entry)
	}
	return entry.principal, true
}

// put remembers a verified token, whose text must be its own.
func (c *tokenCache) put(token string, entry cachedToken) {
	hash := maphash.String(c.seed, token)
	entry.token = token
	c.shards[hash%cacheShards].insert(hash, &entry)
}

func (s *cacheShard) find(hash uint64) (entry *cachedToken, young bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if entry, young = s.young[hash]; young {
		return entry, true
	}
	return s.old[hash], false
}

func (s *cacheShard) insert(hash uint64, entry *cachedToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if previous, replaced := s.young[hash]; replaced {
		s.bytes -= len(previous.token)
	} else if len(s.young) >= generationEntries {
		s.turnLocked()
	}
	if s.bytes+len(entry.token) > generationBytes {
		s.turnLocked()
	}
	s.young[hash] = entry
	s.bytes += len(entry.token)
}

// turnLocked starts a new generation.
func (s *cacheShard) turnLocked() {
	s.old, s.young, s.bytes = s.young, map[uint64]*cachedToken{}, 0
}
