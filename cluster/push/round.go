package push

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	// prepareWithin leaves the decision three of the ten seconds that members
	// hold, enough to reach them while they still do.
	prepareWithin = 7 * time.Second

	commitWithin = 3 * time.Second        // for the others to confirm
	selfWithin   = time.Second            // and for this node after them
	grace        = 500 * time.Millisecond // for more refusals, so that a report names them all
	lookEvery    = 100 * time.Millisecond // at who is a member
	roundAnswers = 1024
)

// round is one push, as its coordinator sees it. It belongs to the goroutine
// that called Push; answers come through a channel.
type round struct {
	p       *Pusher
	push    string
	base    string
	text    []byte
	hash    string // what the members prepared; "": none did yet
	reason  string // why it is refused, if no member's answer says
	members map[string]*Member
	answers chan message
}

// asked is the result of a member that has not answered yet; no report has it.
const asked Result = ""

func newRound(p *Pusher, text []byte) *round {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return &round{
		p: p, push: hex.EncodeToString(id[:]), base: p.seat.config.Running(), text: text,
		members: map[string]*Member{}, answers: make(chan message, roundAnswers),
	}
}

// run is the whole protocol.
func (r *round) run(ctx context.Context) Report {
	if !r.prepare(ctx) {
		r.abort()
		return r.report(Refused)
	}
	row := r.p.ledger.add(Decision{Push: r.push, Base: r.base, Hash: r.hash, At: time.Now().UTC()})
	r.p.announce(row)
	r.commit(row)
	report := r.report("")
	report.Outcome = outcome(report.Members)
	return report
}

func (r *round) report(result Result) Report {
	out := Report{Push: r.push, Outcome: result, Base: r.base, Hash: r.hash, Error: r.reason, Members: []Member{}}
	for _, name := range slices.Sorted(maps.Keys(r.members)) {
		out.Members = append(out.Members, *r.members[name])
	}
	return out
}

// prepare reports whether every live member is prepared. Between two looks at
// who is live, newcomers are asked too; when all have answered, nobody may be
// new or gone at the last look.
func (r *round) prepare(ctx context.Context) bool {
	limit := time.NewTimer(prepareWithin)
	defer limit.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for refused := false; ; {
		r.admit()
		if r.count(asked) == 0 {
			return r.count(Prepared) == len(r.members)
		}
		if !refused && r.count(Prepared)+r.count(asked) < len(r.members) {
			refused = true
			limit.Reset(grace)
		}
		select {
		case m := <-r.answers:
			r.notePrepared(m)
		case <-look.C:
		case <-limit.C:
			r.giveUpOn(asked, Silent, "no answer in time")
			return false
		case <-ctx.Done():
			r.reason = "called off before it was decided"
			return r.giveUpOn(asked, Silent, "")
		case <-r.p.over:
			r.reason = "this node is stopping"
			return r.giveUpOn(asked, Silent, "")
		}
	}
}

// admit asks new members to prepare and marks those that are gone.
func (r *round) admit() {
	live := map[string]bool{}
	for _, m := range r.p.peer.Members() {
		live[m.Name] = true
		if r.members[m.Name] == nil {
			r.members[m.Name] = &Member{Name: m.Name}
			r.p.send(m.Name, message{Kind: kindPrepare, Push: r.push, Base: r.base, Text: r.text})
		}
	}
	for name, m := range r.members {
		if !live[name] && (m.Result == asked || m.Result == Prepared) {
			m.Result, m.Error = Gone, "left the cluster before the push was decided"
		}
	}
}

// notePrepared enters an answer to prepare.
func (r *round) notePrepared(m message) {
	to := r.members[m.From]
	if to == nil || to.Result != asked {
		return
	}
	to.Result, to.Error = m.Result, m.Error
	if m.Result != Prepared {
		return
	}
	if r.hash == "" {
		r.hash = m.Hash
	}
	if m.Hash != r.hash {
		to.Result, to.Error = Refused, fmt.Sprintf("understands it as %s, another member as %s", m.Hash, r.hash)
	}
}

// abort lets the members go at once; who does not hear of it waits for the end
// of its hold.
func (r *round) abort() {
	for name := range r.members {
		r.p.send(name, message{Kind: kindAbort, Push: r.push})
	}
}

// commit spreads the decision and waits for confirmations. This node itself
// switches once another one has, or once nobody answers: had it been first and
// died, it would come back alone with what nobody else has heard of.
func (r *round) commit(row []byte) {
	decision := message{Kind: kindDecision, Push: r.push, Row: row}
	for name, m := range r.members {
		m.Result = Unconfirmed
		if name != r.p.self {
			r.p.send(name, decision)
		}
	}
	limit := time.NewTimer(commitWithin)
	defer limit.Stop()
	switched := false
	for r.count(Unconfirmed) > 0 {
		if !switched && (r.count(Committed) > 0 || r.count(Unconfirmed) == 1) {
			switched = true
			r.p.send(r.p.self, decision)
		}
		select {
		case m := <-r.answers:
			r.noteCommitted(m)
		case <-limit.C:
			if switched {
				r.giveUpOn(Unconfirmed, Unconfirmed, "no word from it in time")
				return
			}
			switched = true
			r.p.send(r.p.self, decision)
			limit.Reset(selfWithin)
		case <-r.p.over:
			return
		}
	}
}

// noteCommitted enters an answer to the decision. A failure may be followed by
// a success, but not the other way round.
func (r *round) noteCommitted(m message) {
	to := r.members[m.From]
	if to == nil || to.Result == Committed {
		return
	}
	switch m.Result {
	case Committed, Failed:
		to.Result, to.Error = m.Result, m.Error
	case Silent, Refused:
		to.Error = m.Error // still unconfirmed: it may hear from others
	}
}

// giveUpOn turns all results of one kind into another; it returns false.
func (r *round) giveUpOn(from, to Result, reason string) bool {
	for _, m := range r.members {
		if m.Result == from {
			m.Result = to
			if m.Error == "" {
				m.Error = reason
			}
		}
	}
	return false
}

func (r *round) count(of Result) int {
	n := 0
	for _, m := range r.members {
		if m.Result == of {
			n++
		}
	}
	return n
}
