package push

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/go-api-gateway-pro/gateway/cluster"
)

// memory is how long a decision can be looked up, and so how long a member that
// did not hear of one keeps what it prepared.
const memory = time.Hour

// maxDecisions bounds the row of one coordinator.
const maxDecisions = 16

// Decision says that a push takes effect. It is never taken back.
type Decision struct {
	Push        string    `json:"push"`
	Base        string    `json:"base"`
	Hash        string    `json:"hash"`
	At          time.Time `json:"at"`
	Coordinator string    `json:"-"` // the row's owner
}

// ledger is what this node knows of the decisions of the last hour: a row for
// each coordinator. A row outlives its owner, which may have died right after
// deciding, and is passed on by everybody.
type ledger struct {
	*cluster.Rows

	self string
	news chan struct{} // something was merged

	mu  sync.Mutex // guards own
	own []Decision
}

func newLedger(self string) *ledger {
	return &ledger{Rows: cluster.NewRows(self, memory, time.Now), self: self, news: make(chan struct{}, 1)}
}

// Merge takes in rows of others.
func (l *ledger) Merge(data []byte) error {
	err := l.Rows.Merge(data)
	select {
	case l.news <- struct{}{}:
	default:
	}
	return err
}

// add writes a decision of this node's own and returns its row.
func (l *ledger) add(d Decision) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.own = append(slices.DeleteFunc(l.own, func(old Decision) bool { return d.At.Sub(old.At) > memory }), d)
	if len(l.own) > maxDecisions {
		l.own = slices.Delete(l.own, 0, 1)
	}
	row, err := json.Marshal(l.own)
	if err != nil {
		panic("BUG: decisions do not encode: " + err.Error())
	}
	return l.Set(row)
}

// find looks a decision up.
func (l *ledger) find(push string) (Decision, bool) {
	all := l.decisions()
	i := slices.IndexFunc(all, func(d Decision) bool { return d.Push == push })
	if i < 0 {
		return Decision{}, false
	}
	return all[i], true
}

// decisions lists what is known; a row that cannot be read is none.
func (l *ledger) decisions() []Decision {
	var out []Decision
	for _, row := range l.All() {
		var all []Decision
		if json.Unmarshal(row.Payload, &all) != nil {
			continue
		}
		for _, d := range all[:min(len(all), maxDecisions)] {
			d.Coordinator = row.Owner
			out = append(out, d)
		}
	}
	return out
}
