package push

import (
	"slices"
	"strings"
	"time"
)

// Result is how a push ended, for the cluster or for one member.
type Result string

// The first three are the outcomes of a push, the first two and the others the
// results of members.
const (
	Committed Result = "committed" // switched and confirmed
	Refused   Result = "refused"   // nobody switched; of a member: it is the one that refused
	Partial   Result = "partial"   // decided, but not confirmed by all

	Prepared    Result = "prepared"    // was ready; dropped it, since the push was refused
	Busy        Result = "busy"        // prepared for another push
	Silent      Result = "silent"      // no answer in time, or not to be reached
	Gone        Result = "gone"        // left the cluster before the decision
	Failed      Result = "failed"      // decided, but could not switch
	Unconfirmed Result = "unconfirmed" // decided, but no word from it
)

// Report tells how a push went.
type Report struct {
	Push        string    `json:"push"`
	Outcome     Result    `json:"outcome"`
	Coordinator string    `json:"coordinator"`
	Base        string    `json:"base"`           // hash of what every member ran before
	Hash        string    `json:"hash,omitempty"` // of what was pushed; "" if nobody got that far
	At          time.Time `json:"at"`             // when it ended
	TookMS      int64     `json:"took_ms"`
	Error       string    `json:"error,omitempty"` // why it was refused, if no member's result says
	Members     []Member  `json:"members"`         // by name
}

// Member is one member's part in a push.
type Member struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	Error  string `json:"error,omitempty"`
}

// outcome of a decided push.
func outcome(members []Member) Result {
	if slices.ContainsFunc(members, func(m Member) bool { return m.Result != Committed }) {
		return Partial
	}
	return Committed
}

// history keeps the last pushes this node coordinated.
type history struct{ reports []Report }

const historySize = 16

func (h *history) add(r Report) {
	h.reports = append(h.reports, r)
	if len(h.reports) > historySize {
		h.reports = slices.Delete(h.reports, 0, 1)
	}
}

// confirm enters what a member said after the report was written, and tells
// whether that changed it.
func (h *history) confirm(m message) bool {
	i := slices.IndexFunc(h.reports, func(r Report) bool { return r.Push == m.Push && r.Outcome == Partial })
	if i < 0 || m.Result != Committed {
		return false
	}
	members := slices.Clone(h.reports[i].Members) // the old ones may be read by now
	j := slices.IndexFunc(members, func(x Member) bool { return x.Name == m.From })
	if j < 0 {
		return false
	}
	members[j] = Member{Name: m.From, Result: Committed}
	h.reports[i].Members, h.reports[i].Outcome = members, outcome(members)
	return true
}

// newest returns the reports and the decisions of others, the newest first.
func (h *history) newest(decisions []Decision) []Report {
	out := slices.Clone(h.reports)
	for _, d := range decisions {
		if !slices.ContainsFunc(out, func(r Report) bool { return r.Push == d.Push }) {
			out = append(out, Report{
				Push: d.Push, Outcome: Committed, Coordinator: d.Coordinator, Base: d.Base, Hash: d.Hash, At: d.At, Members: []Member{},
			})
		}
	}
	slices.SortFunc(out, func(a, b Report) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return strings.Compare(a.Push, b.Push)
	})
	return out[:min(len(out), historySize)]
}
