package faults

import "sync"

// The kinds of requests a load has.
const (
	kindGet   = "GET"     // may be sent again
	kindPost  = "POST"    // may not, once an upstream may have it
	kindTaken = "limited" // takes from the one bucket that all of them share
)

// ledger is every arrival at an upstream. Safe for concurrent use.
type ledger struct {
	mu   sync.Mutex
	hits map[string]int // by the number of the request
}

func newLedger() *ledger { return &ledger{hits: map[string]int{}} }

// note writes an arrival down.
func (l *ledger) note(number string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hits[number]++
}

// count is how often the request has arrived.
func (l *ledger) count(number string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hits[number]
}
