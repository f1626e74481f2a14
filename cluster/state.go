package cluster

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

const (
	maxKey      = 255 // bytes
	farewellKey = ""  // of a member that goes and says its name
)

// State is what members share under one key. Its methods are called from
// several goroutines at once, also with bytes that another version of the
// program or a hostile member made.
type State interface {
	// MarshalBinary returns the full state. It should stay small: every member
	// sends it to another one every 15 seconds.
	MarshalBinary() ([]byte, error)

	// Merge takes in a full state or one broadcast message. It must be
	// idempotent, commutative and associative, since messages arrive twice, late
	// and in any order. It must not keep or change the bytes it is given. It runs
	// in the one goroutine that takes in messages, so it must not block.
	Merge([]byte) error
}

// states maps a key to what is shared under it.
type states struct {
	mu    sync.RWMutex // guards byKey
	byKey map[string]State
}

func (s *states) get(key string) State {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byKey[key]
}

func (s *states) all() map[string]State {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.byKey)
}

// Share makes s known to the cluster under key, which must be the same on all
// members, 1 to 255 bytes, and used once; anything else is a mistake in the
// program and panics. Call it before Join: a state shared later waits for the
// next exchange to hear of the others.
//
// The returned broadcast sends one message to every member at once, to be
// given to Merge there. It copies the message, never blocks, and does nothing
// for an empty one; up to 700 bytes it costs each member one packet, above
// that a connection. A message that is lost or does not fit the queue is
// replaced by the next exchange of the full state, so the change must be in s
// before it is broadcast.
func (p *Peer) Share(key string, s State) (broadcast func([]byte)) {
	if key == "" || len(key) > maxKey {
		panic(fmt.Sprintf("cluster: key of shared state must be 1 to %d bytes, got %d", maxKey, len(key)))
	}
	p.states.mu.Lock()
	defer p.states.mu.Unlock()
	if _, taken := p.states.byKey[key]; taken {
		panic(fmt.Sprintf("cluster: state %q is shared twice", key))
	}
	if p.states.byKey == nil {
		p.states.byKey = make(map[string]State)
	}
	p.states.byKey[key] = s
	return func(msg []byte) { p.mail.post(key, msg) }
}

// snapshot is the full state of every key. One that cannot be marshaled is left
// out: the others should not miss their repair because of it.
func (p *Peer) snapshot() []byte {
	all := p.states.all()
	out := []byte{wireVersion}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		data, err := all[key].MarshalBinary()
		if err != nil {
			p.log.Error().Err(err).Str("state", key).Msg("cannot marshal shared state")
			continue
		}
		out = appendPart(out, part{key: key, data: data})
	}
	return out
}

func (p *Peer) mergeSnapshot(buf []byte) {
	parts, err := decodeParts(buf)
	if err != nil {
		p.metrics.refused.WithLabelValues(refusedState).Inc()
		p.quiet.Warn().Err(err).Int("bytes", len(buf)).Msg("cannot decode shared state")
		return
	}
	for _, part := range parts {
		p.merge(part)
	}
}

// merge ignores keys nobody here shares: the sender may run a newer version.
func (p *Peer) merge(in part) {
	if in.key == farewellKey {
		p.table.farewell(string(in.data))
		return
	}
	s := p.states.get(in.key)
	if s == nil {
		return
	}
	if err := s.Merge(in.data); err != nil {
		p.metrics.refused.WithLabelValues(refusedState).Inc()
		p.quiet.Warn().Err(err).Str("state", in.key).Int("bytes", len(in.data)).Msg("cannot merge shared state")
	}
}
