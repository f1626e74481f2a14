package breaker

import (
	"sync"
	"time"
)

const slots = 10

// window counts the results of the last while in ten slots, the oldest of which
// is only partly inside it. It has a lock of its own: where a ratio is
// configured every result is counted, and the group's lock is for the rest.
type window struct {
	mu    sync.Mutex
	slots [slots]struct {
		number        int64
		total, failed int
	}
}

// add counts one result at a time since the group's start. It returns the
// counts of the window, the new one included.
func (w *window) add(at, length time.Duration, failed bool) (total, failures int) {
	number := int64(at / (length / slots))
	w.mu.Lock()
	defer w.mu.Unlock()
	current := &w.slots[number%slots]
	if current.number != number {
		current.number, current.total, current.failed = number, 0, 0
	}
	current.total++
	if failed {
		current.failed++
	}
	for i := range w.slots {
		if s := &w.slots[i]; number-slots < s.number && s.number <= number {
			total += s.total
			failures += s.failed
		}
	}
	return total, failures
}

func (w *window) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.slots {
		w.slots[i].total, w.slots[i].failed = 0, 0
	}
}
