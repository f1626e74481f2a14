package limiter

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestStoreIsBounded(t *testing.T) {
	s := newStore(shardCount*4, newMetrics())
	set := newRules("p")
	limit := perSecond("r", ScopeIP, 1, 1)
	for i := range 10_000 {
		a := newAsk()
		for j := range 3 {
			a.add(set.get(limit), fmt.Sprint(i, "/", j), 1)
		}
		s.decideByShare(a, view{now: 1, members: 1}, lost)
	}
	for i := range s.shards {
		sh := &s.shards[i]
		if len(sh.slots) != 4 || len(sh.index) != 4 {
			t.Fatalf("shard %d holds %d slots and %d keys, want 4", i, len(sh.slots), len(sh.index))
		}
		for key, n := range sh.index {
			if sh.slots[n].key != key {
				t.Fatalf("shard %d: index says %q is in slot %d, which holds %q", i, key, n, sh.slots[n].key)
			}
		}
	}
}

// A bucket in use outlives a crowd of others that come once.
func TestStoreKeepsWhatIsUsed(t *testing.T) {
	var sh shard
	sh.limit, sh.index = 8, map[string]int{}
	put := func(key string, tat int64) {
		c := &sh.slots[sh.findLocked([]byte(key), 0)]
		c.used = true
		c.share.tat = max(c.share.tat, tat)
	}
	put("hot", 1000)
	for i := range 100 {
		put(fmt.Sprint("once", i), 1)
		put("hot", 1000)
	}
	if n, ok := sh.index["hot"]; !ok || sh.slots[n].share.tat != 1000 {
		t.Error("the hot bucket was forgotten")
	}
}

func TestKeys(t *testing.T) {
	set := newRules("p:1")
	key := func(id, key string) string {
		a := newAsk()
		a.add(set.get(perSecond(id, ScopeUser, 1, 1)), key, 1)
		return string(a.key(0))
	}
	f := func(id, k, want string) {
		t.Helper()
		if got := key(id, k); got != want {
			t.Errorf("key of %q, %q is %q, want %q", id, k, got, want)
		}
	}
	f("r", "ann", "rate:p%3A1:r:ann")
	f("a:b", "c", "rate:p%3A1:a%3Ab:c")
	f("a", "b:c", "rate:p%3A1:a:b:c")
	f("r", "\x00\r\n", "rate:p%3A1:r:\x00\r\n")
	f("r", strings.Repeat("x", 128), "rate:p%3A1:r:"+strings.Repeat("x", 128))
	long := key("r", strings.Repeat("x", 129))
	if len(long) > 80 || !strings.HasPrefix(long, "rate:p%3A1:r:sha256:") {
		t.Errorf("key of a long name is %q, want a hash", long)
	}
	forged := strings.TrimPrefix(long, "rate:p%3A1:r:")
	if key("r", forged) == long {
		t.Errorf("the name %q leads to the bucket of another", forged)
	}
	if key("r", strings.Repeat("x", 129)) == key("r", strings.Repeat("x", 130)) {
		t.Error("two long names share a bucket")
	}
}

func TestMembers(t *testing.T) {
	size := 3
	m := newMembers(func() int { return size }, nil, 1)
	sec := int64(time.Second)
	f := func(at int64, n int, held bool, want int) {
		t.Helper()
		size = n
		if got := m.count(at, held); got != want {
			t.Errorf("at %d s with %d members (held %v): got %d, want %d", at/sec, n, held, got, want)
		}
	}
	f(1*sec, 5, false, 5)
	f(1*sec+1, 9, false, 5) // asked a moment ago
	f(2*sec, 2, false, 5)
	f(60*sec, 2, false, 5)
	f(62*sec, 2, false, 2) // the five were last seen more than a minute ago
	f(63*sec, 4, true, 4)
	f(70*sec, 1, true, 4)
	f(500*sec, 1, true, 4) // held
	f(501*sec, 6, true, 6) // but it may grow
	f(502*sec, 1, false, 6)
	f(562*sec, 1, false, 1)
	f(563*sec, 100_000, false, maxMembers)
}
