package push

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/go-api-gateway-pro/gateway/cluster"
)

const (
	mailKey = "push"      // messages between two members
	rowsKey = "decisions" // the ledger
	inbox   = 64          // messages; more are lost, as on the network
)

// Peer is this node's membership in the cluster.
type Peer interface {
	Name() string
	Members() []cluster.Member
	Share(key string, s cluster.State) (broadcast func([]byte))
	Mailbox(key string, take func([]byte)) (send func(to string, message []byte, failed func(error)))
}

// Options is what a Pusher is built from.
type Options struct {
	Peer   Peer
	Config Config

	// Exposed is why a push must not leave this node, such as that others on the
	// network could read it. Empty: it may.
	Exposed string

	// Leftover is what an earlier process had prepared; nil: nothing.
	Leftover *Leftover

	Log        zerolog.Logger
	Registerer prometheus.Registerer // nil: no metrics
}

// Pusher is this node's part in the pushes of its cluster. Its methods may be
// called from many goroutines at once.
type Pusher struct {
	peer     Peer
	self     string
	exposed  string
	log      zerolog.Logger
	ledger   *ledger
	announce func([]byte)
	post     func(to string, message []byte, failed func(error))
	inbox    chan []byte
	over     chan struct{} // closed when Run has returned
	metrics  *metrics
	seat     seat // of Run alone

	pushing sync.Mutex // held by the one push that this node coordinates

	mu      sync.Mutex // guards the fields below
	round   *round     // the push under way, nil: none
	history history
}

// New joins the protocol's state to the peer, which must not have joined the
// cluster yet. Nothing is answered until Run.
func New(o Options) (*Pusher, error) {
	p := &Pusher{
		peer:    o.Peer,
		self:    o.Peer.Name(),
		exposed: o.Exposed,
		log:     o.Log,
		ledger:  newLedger(o.Peer.Name()),
		inbox:   make(chan []byte, inbox),
		over:    make(chan struct{}),
		metrics: newMetrics(),
		seat:    seat{self: o.Peer.Name(), config: o.Config, log: o.Log},
	}
	if err := p.metrics.register(o.Registerer); err != nil {
		return nil, fmt.Errorf("cannot register push metrics: %w", err)
	}
	if o.Leftover != nil {
		p.seat.recover(*o.Leftover)
	}
	p.announce = o.Peer.Share(rowsKey, p.ledger)
	p.post = o.Peer.Mailbox(mailKey, p.take)
	return p, nil
}

// Run answers the other members until ctx ends. What is prepared then stays on
// disk, for the next process to look up. It must be called once.
func (p *Pusher) Run(ctx context.Context) {
	defer close(p.over)
	defer p.seat.free()
	timer := time.NewTimer(memory)
	defer timer.Stop()
	for {
		if at := p.seat.next(); !at.IsZero() {
			timer.Reset(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return
		case raw := <-p.inbox:
			p.handle(raw)
		case <-p.ledger.news:
			p.lookUp()
		case <-timer.C:
			p.lookUp() // a decision known by now comes before forgetting
		}
		p.seat.expire(time.Now())
	}
}

// Push gives text to all members, or to none. It returns when the outcome is
// known, within some fifteen seconds. Ctx can call a push off until it is
// decided; then it goes on.
func (p *Pusher) Push(ctx context.Context, text []byte) Report {
	began := time.Now()
	report := p.push(ctx, text)
	report.Coordinator, report.At = p.self, time.Now()
	report.TookMS = report.At.Sub(began).Milliseconds()
	p.mu.Lock()
	p.round = nil
	p.history.add(report)
	p.mu.Unlock()
	p.metrics.outcomes.WithLabelValues(string(report.Outcome)).Inc()
	p.logReport(report)
	return report
}

func (p *Pusher) push(ctx context.Context, text []byte) Report {
	refused := Report{Outcome: Refused, Members: []Member{}}
	switch {
	case p.exposed != "":
		refused.Error = p.exposed
		return refused
	case len(text) == 0 || len(text) > MaxText:
		refused.Error = fmt.Sprintf("a configuration must have 1 to %d bytes, got %d", MaxText, len(text))
		return refused
	case !p.pushing.TryLock():
		refused.Error = "busy: this node is pushing another configuration"
		return refused
	}
	defer p.pushing.Unlock()
	r := newRound(p, text)
	p.mu.Lock()
	p.round = r
	p.mu.Unlock()
	return r.run(ctx)
}

// Recent lists the last pushes, the newest first: those this node coordinated,
// and of the others' those that were decided within the last hour.
func (p *Pusher) Recent() []Report {
	decisions := p.ledger.decisions()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.history.newest(decisions)
}

// take puts a message in the inbox; it never blocks.
func (p *Pusher) take(raw []byte) {
	select {
	case p.inbox <- raw:
	default:
		p.log.Warn().Int("limit", inbox).Msg("too many messages about pushes, one is lost")
	}
}

// send hands a message to a member, which may be this node. What cannot be
// handed over comes back as an answer.
func (p *Pusher) send(to string, m message) {
	m.Protocol, m.From = protocol, p.self
	if to == p.self {
		p.take(m.encode())
		return
	}
	p.post(to, m.encode(), func(err error) {
		if m.Kind != kindAnswer {
			p.arrived(message{Protocol: protocol, Push: m.Push, From: to, Result: Silent, Error: err.Error()})
		}
	})
}

// handle takes in one message. Except before an answer, a decision that is known
// by now comes first, since it may change what there is to say.
func (p *Pusher) handle(raw []byte) {
	m, err := decode(raw)
	if err != nil {
		p.log.Warn().Err(err).Msg("cannot read a message about a push")
		return
	}
	strange := m.strange()
	if m.Kind == kindAnswer {
		if strange != "" {
			m.Result, m.Error = Refused, "the coordinator "+strange
		}
		p.arrived(m)
		return
	}
	p.lookUp()
	switch {
	case strange != "":
		p.send(m.From, p.seat.answer(m.Push, Refused, strange))
	case m.Kind == kindPrepare:
		p.send(m.From, p.seat.prepare(m, time.Now()))
	case m.Kind == kindAbort:
		p.seat.abort(m)
	case m.Kind == kindDecision:
		p.takeDecision(m)
	}
}

// takeDecision learns of a decision from its coordinator, and answers in any
// case: the answer to the first message about it may be lost.
func (p *Pusher) takeDecision(m message) {
	if m.From != p.self {
		if err := p.ledger.Merge(m.Row); err != nil {
			p.log.Warn().Err(err).Str("member", m.From).Msg("cannot read a decision on a push")
			return
		}
	}
	if d, known := p.ledger.find(m.Push); known {
		p.send(m.From, p.seat.decided(d))
	}
}

// lookUp switches if what is prepared has been decided. The coordinator's own
// node waits until another has confirmed.
func (p *Pusher) lookUp() {
	if p.seat.pending == nil || p.withheld(p.seat.pending.push) {
		return
	}
	if d, known := p.ledger.find(p.seat.pending.push); known {
		p.send(d.Coordinator, p.seat.decided(d))
	}
}

func (p *Pusher) withheld(push string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.round != nil && p.round.push == push
}

// arrived passes an answer to the push it belongs to, or to the report of one
// that is over.
func (p *Pusher) arrived(m message) {
	p.mu.Lock()
	r := p.round
	late := (r == nil || r.push != m.Push) && p.history.confirm(m)
	p.mu.Unlock()
	if late {
		p.log.Info().Str("push", m.Push).Str("member", m.From).Msg("member confirmed a push later")
	}
	if r == nil || r.push != m.Push {
		return
	}
	select {
	case r.answers <- m:
	default: // cannot be: members answer a few times each
		p.log.Error().Str("member", m.From).Msg("too many answers to a push, one is lost")
	}
}

func (p *Pusher) logReport(r Report) {
	event := p.log.Info()
	if r.Outcome != Committed {
		event = p.log.Warn()
		for _, m := range r.Members {
			if m.Error != "" {
				event.AnErr("member "+m.Name, errors.New(string(m.Result)+": "+m.Error))
			}
		}
	}
	if r.Error != "" {
		event.Str("reason", r.Error)
	}
	event.Str("push", r.Push).Str("outcome", string(r.Outcome)).Str("base", r.Base).Str("hash", r.Hash).
		Int("members", len(r.Members)).Int64("took_ms", r.TookMS).Msg("push of a configuration")
}
