package push

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

// holdFor is how long a member holds other changes back for a push.
const holdFor = 10 * time.Second

// endedSize is how many pushes a seat remembers the end of, so that a message
// that was overtaken by a later one does no harm.
const endedSize = 16

// seat is a member's side of the protocol. It is a state machine: free, held
// (prepared, nothing else may change), in doubt (prepared, and no decision
// heard in time). It belongs to one goroutine.
type seat struct {
	self   string
	config Config
	log    zerolog.Logger

	pending *pending // nil: free
	ended   []message
}

// pending is what was prepared and not decided, as far as this member knows.
type pending struct {
	push, base, coordinator string

	candidate Candidate
	held      bool
	release   time.Time // when it is no longer held
	forget    time.Time
	trouble   string // why it could not be committed, to log each cause once
}

// answer fills in who speaks.
func (s *seat) answer(push string, result Result, reason string) message {
	return message{Protocol: protocol, Kind: kindAnswer, Push: push, From: s.self, Result: result, Error: reason}
}

// prepare answers a request to prepare.
func (s *seat) prepare(m message, now time.Time) message {
	p := s.pending
	switch {
	case s.over(m.Push) != nil:
		return *s.over(m.Push)
	case p != nil && p.held && p.push == m.Push:
		return s.prepared(p)
	case p != nil && p.held:
		return s.answer(m.Push, Busy, fmt.Sprintf("prepared for push %s of %s", p.push, p.coordinator))
	case len(m.Text) == 0 || len(m.Text) > MaxText:
		return s.answer(m.Push, Refused, fmt.Sprintf("a configuration must have 1 to %d bytes, got %d", MaxText, len(m.Text)))
	}
	if running := s.config.Running(); running != m.Base {
		return s.answer(m.Push, Refused, fmt.Sprintf("runs %s, the push is based on %s", running, m.Base))
	}
	s.drop("another push takes its place")
	candidate, err := s.config.Prepare(Plan{Push: m.Push, Base: m.Base, Text: m.Text})
	if err != nil {
		return s.end(s.answer(m.Push, Refused, err.Error()))
	}
	s.pending = &pending{
		push: m.Push, base: m.Base, coordinator: m.From, candidate: candidate,
		held: true, release: now.Add(holdFor), forget: now.Add(memory),
	}
	s.log.Info().Str("push", m.Push).Str("coordinator", m.From).Str("hash", candidate.Hash()).Msg("prepared for a push")
	return s.prepared(s.pending)
}

func (s *seat) prepared(p *pending) message {
	out := s.answer(p.push, Prepared, "")
	out.Hash = p.candidate.Hash()
	return out
}

// recover takes up what this node had prepared before it was restarted.
func (s *seat) recover(l Leftover) {
	s.pending = &pending{
		push: l.Push, base: l.Base, coordinator: "an earlier process", candidate: l.Candidate, forget: l.Prepared.Add(memory),
	}
	s.log.Info().Str("push", l.Push).Str("hash", l.Candidate.Hash()).Msg("found a prepared push, looking its decision up")
}

// abort ends a push that was refused.
func (s *seat) abort(m message) {
	if s.over(m.Push) != nil {
		return
	}
	if s.pending != nil && s.pending.push == m.Push {
		s.drop("it was refused")
	}
	s.end(s.answer(m.Push, Refused, "the push was refused"))
}

// decided switches to what was prepared, if this is its decision. It returns
// what to tell the coordinator.
func (s *seat) decided(d Decision) message {
	if end := s.over(d.Push); end != nil {
		return *end
	}
	p := s.pending
	if p == nil || p.push != d.Push {
		return s.answer(d.Push, Failed, "has nothing prepared for this push")
	}
	err := p.candidate.Commit()
	switch {
	case err == nil:
		s.pending = nil
		s.log.Info().Str("push", d.Push).Str("coordinator", d.Coordinator).Str("hash", d.Hash).Msg("push committed")
		return s.end(s.answer(d.Push, Committed, ""))
	case errors.Is(err, ErrMoved):
		s.drop(err.Error())
		return s.end(s.answer(d.Push, Failed, err.Error()))
	}
	s.free()
	if p.trouble != err.Error() {
		p.trouble = err.Error()
		s.log.Error().Err(err).Str("push", d.Push).Msg("cannot switch to a pushed configuration, trying again")
	}
	return s.answer(d.Push, Failed, err.Error())
}

// expire lets go of what has waited too long.
func (s *seat) expire(now time.Time) {
	p := s.pending
	if p == nil {
		return
	}
	if p.held && !now.Before(p.release) {
		s.free()
		s.log.Warn().Str("push", p.push).Str("coordinator", p.coordinator).Msg("no decision on a push in time, free again")
	}
	if !now.Before(p.forget) {
		s.drop("no decision was heard")
	}
}

// next is when expire has something to do; zero: never.
func (s *seat) next() time.Time {
	switch {
	case s.pending == nil:
		return time.Time{}
	case s.pending.held:
		return s.pending.release
	}
	return s.pending.forget
}

// free ends the hold; what was prepared is kept.
func (s *seat) free() {
	if s.pending != nil && s.pending.held {
		s.pending.held = false
		s.pending.candidate.Release()
	}
}

func (s *seat) drop(why string) {
	if s.pending == nil {
		return
	}
	s.pending.candidate.Drop()
	s.log.Info().Str("push", s.pending.push).Str("reason", why).Msg("prepared push dropped")
	s.pending = nil
}

// end remembers the last word on a push.
func (s *seat) end(m message) message {
	s.ended = append(s.ended, m)
	if len(s.ended) > endedSize {
		s.ended = slices.Delete(s.ended, 0, 1)
	}
	return m
}

func (s *seat) over(push string) *message {
	for i := range s.ended {
		if s.ended[i].Push == push {
			return &s.ended[i]
		}
	}
	return nil
}
