package limiter

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	memberHold    = 60 * time.Second
	memberRefresh = 100 * time.Millisecond
)

// members is by how many nodes a limit is divided: the largest number seen in
// the last minute, for whoever loses Redis often loses gossip too, and must not
// take the shares of nodes that merely went silent. It grows within 100 ms, and
// does not shrink while it is held.
//
// Safe for concurrent use.
type members struct {
	size  func() int
	local func() int // of the others, how many are without Redis
	floor int

	current atomic.Int64
	away    atomic.Int64
	due     atomic.Int64 // when to ask again, in nanoseconds

	mu   sync.Mutex
	seen []sighting // newest last, falling in size: the first is the largest
}

type sighting struct {
	at   int64
	size int
}

func newMembers(size, local func() int, floor int) *members {
	m := &members{size: size, local: local, floor: max(floor, 1)}
	m.refreshLocked(0, false)
	return m
}

// count is the number to divide by at now. While held it may only grow.
func (m *members) count(now int64, held bool) int {
	if now >= m.due.Load() && m.mu.TryLock() {
		m.refreshLocked(now, held)
		m.mu.Unlock()
	}
	return int(m.current.Load())
}

func (m *members) refreshLocked(now int64, held bool) {
	m.due.Store(now + int64(memberRefresh))
	if m.local != nil {
		m.away.Store(int64(max(m.local(), 0)))
	}
	n := m.floor
	if m.size != nil {
		n = min(max(n, m.size()), maxMembers)
	}
	for len(m.seen) > 0 && m.seen[len(m.seen)-1].size <= n {
		m.seen = m.seen[:len(m.seen)-1]
	}
	m.seen = append(m.seen, sighting{at: now, size: n})
	for !held && now-m.seen[0].at > int64(memberHold) {
		m.seen = m.seen[1:]
	}
	m.current.Store(int64(m.seen[0].size))
}
