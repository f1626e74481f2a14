package node

import (
	"slices"
	"sync"
	"time"
)

const (
	trailLength = 60  // seconds
	eventsKept  = 100 // the oldest go first
)

// board is what a node remembers for display: its last second, the last minute of
// every member, and what happened in the cluster. Nothing is decided by it. Safe
// for concurrent use.
type board struct {
	mu     sync.Mutex // guards the fields below
	second *measure   // nil before the first
	trails map[string]trail
	scene  scene
	events []event // the newest last
}

// trail is a member's last minute, the newest second last.
type trail struct {
	RPS   []uint64  `json:"rps"`
	P99MS []float64 `json:"p99_ms"`
}

func newBoard() *board { return &board{trails: map[string]trail{}} }

func (b *board) measured(second *measure) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.second = second
}

// remember adds a second to the trails of the members that live, and forgets the
// others'. A member is there while its row is.
func (b *board) remember(statuses map[string]status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name := range b.trails {
		if _, lives := statuses[name]; !lives {
			delete(b.trails, name)
		}
	}
	for name, s := range statuses {
		old := b.trails[name]
		// What was handed out before is not written to.
		b.trails[name] = trail{RPS: appended(old.RPS, s.RPS), P99MS: appended(old.P99MS, s.P99MS)}
	}
}

// appended returns a copy with one more value, of the last trailLength.
func appended[T any](values []T, next T) []T {
	first := max(len(values)+1-trailLength, 0)
	return append(slices.Clone(values[first:]), next)
}

// note keeps what changed since the last scene.
func (b *board) note(next scene, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range changes(b.scene, next) {
		e.At = now.UTC()
		b.events = append(b.events, e)
	}
	b.events = slices.Clone(b.events[max(len(b.events)-eventsKept, 0):])
	b.scene = next
}

// recall returns the last second, the trails and the events, the newest first.
func (b *board) recall() (*measure, map[string]trail, []event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	trails := make(map[string]trail, len(b.trails))
	for name, t := range b.trails {
		trails[name] = t
	}
	events := slices.Clone(b.events)
	slices.Reverse(events)
	if events == nil {
		events = []event{} // a list in JSON, not null
	}
	return b.second, trails, events
}
