package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestCacheIsBounded(t *testing.T) {
	c := newTokenCache()
	until := time.Unix(10, 0)
	for i := range 3 * cacheShards * generationEntries {
		c.put(fmt.Sprint("token ", i), cachedToken{until: until})
	}
	long := strings.Repeat("x", MaxTokenBytes-8)
	for i := range 4096 {
		c.put(fmt.Sprint(long, i), cachedToken{until: until})
	}
	for i := range c.shards {
		s := &c.shards[i]
		if n := len(s.young) + len(s.old); n > 2*generationEntries {
			t.Errorf("shard %d holds %d entries", i, n)
		}
		text := 0
		for _, e := range s.young {
			text += len(e.token)
		}
		if text != s.bytes || text > generationBytes {
			t.Errorf("shard %d holds %d bytes and counts %d", i, text, s.bytes)
		}
	}
	if _, ok := c.get([]byte(fmt.Sprint(long, 4095)), 0, time.Unix(0, 0)); !ok {
		t.Error("the newest entry is gone")
	}
}

func TestCacheKeepsWhatIsUsed(t *testing.T) {
	c := newTokenCache()
	until := time.Unix(10, 0)
	c.put("used", cachedToken{until: until})
	for i := range 3 * cacheShards * generationEntries {
		c.put(fmt.Sprint("token ", i), cachedToken{until: until})
		if _, ok := c.get([]byte("used"), 0, time.Unix(0, 0)); !ok {
			t.Fatalf("forgotten after %d others", i)
		}
	}
}

func TestCacheComparesText(t *testing.T) {
	c := newTokenCache()
	c.put("a", cachedToken{until: time.Unix(10, 0)})
	for i := range c.shards {
		for _, e := range c.shards[i].young {
			e.token = "b" // as if another text had the same hash
		}
	}
	if _, ok := c.get([]byte("a"), 0, time.Unix(0, 0)); ok {
		t.Error("a token was taken for another one")
	}
}
