package cluster

import (
	"bytes"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/memberlist"
)

const (
	maxPacket   = 700  // bytes; above this UDP may fragment or, near 1400, not send at all
	inboxSize   = 1024 // messages
	inboxBytes  = 16 << 20
	maxMessage  = 6 << 20 // bytes; nothing sends as much
	outboxSize  = 256     // messages, for each of the two ways out
	maxRepeats  = 512     // messages waiting to be gossiped again
	maxDialling = 32      // connections at once for large messages
)

// mail carries messages between the states of this node and those of the
// others. Every queue is bounded and nobody waits for one: what does not fit is
// counted and left to the exchange of full states.
type mail struct {
	p       *Peer
	inbox   chan []byte
	waiting atomic.Int64 // bytes in inbox
	small   chan []byte
	large   chan []byte
	direct  chan struct{} // one for each message to a single member that is under way
	repeats *memberlist.TransmitLimitedQueue
}

func newMail(p *Peer) *mail {
	return &mail{
		p:      p,
		inbox:  make(chan []byte, inboxSize),
		small:  make(chan []byte, outboxSize),
		large:  make(chan []byte, outboxSize),
		direct: make(chan struct{}, maxDialling),
		repeats: &memberlist.TransmitLimitedQueue{
			NumNodes:       p.table.size,
			RetransmitMult: memberlist.DefaultLANConfig().RetransmitMult,
		},
	}
}

// deliver takes a message off the receive loop, which reuses its memory.
func (m *mail) deliver(msg []byte) {
	m.p.metrics.received.Inc()
	size := int64(len(msg))
	if size > maxMessage {
		m.p.metrics.refused.WithLabelValues(refusedSize).Inc()
		return
	}
	if m.waiting.Add(size) > inboxBytes || !m.put(m.inbox, bytes.Clone(msg)) {
		m.waiting.Add(-size)
		m.p.metrics.dropped.Inc()
	}
}

// post hands a message to the senders.
func (m *mail) post(key string, data []byte) {
	if len(data) == 0 || m.p.base.Err() != nil || m.p.Size() < 2 {
		return
	}
	msg := appendPart([]byte{wireVersion}, part{key: key, data: data})
	queue := m.small
	if len(msg) > maxPacket {
		queue = m.large
	}
	if !m.put(queue, msg) {
		m.p.metrics.dropped.Inc()
	}
}

// put reports whether the queue had room.
func (m *mail) put(queue chan []byte, msg []byte) bool {
	select {
	case queue <- msg:
		return true
	default:
		return false
	}
}

func (m *mail) receive() {
	for {
		select {
		case <-m.p.base.Done():
			return
		case msg := <-m.inbox:
			m.waiting.Add(-int64(len(msg)))
			m.p.mergeSnapshot(msg)
		}
	}
}

func (m *mail) sendSmall() { m.each(m.small, m.sendPackets) }

func (m *mail) sendLarge() {
	var sends sync.WaitGroup
	defer sends.Wait()
	slots := make(chan struct{}, maxDialling) // a hanging member must not hold up the others' copies
	m.each(m.large, func(msg []byte) {
		for _, n := range m.p.table.others() {
			slots <- struct{}{}
			sends.Go(func() {
				defer func() { <-slots }()
				m.sent(n, m.p.place.Load().list.SendReliable(n, msg))
			})
		}
	})
}

// each works until Leave, and then, while Leave waits, on what is queued already.
func (m *mail) each(queue chan []byte, send func([]byte)) {
	for {
		select {
		case <-m.p.over:
			return
		default:
		}
		select {
		case msg := <-queue:
			send(msg)
			continue
		default:
		}
		select {
		case msg := <-queue:
			send(msg)
		case <-m.p.base.Done():
			return
		}
	}
}

// sendPackets sends one packet to each member now, and lets gossip repeat the
// message in its own packets for those that missed it.
func (m *mail) sendPackets(msg []byte) {
	for _, n := range m.p.table.others() {
		m.sent(n, m.p.place.Load().list.SendBestEffort(n, msg))
	}
	m.repeats.QueueBroadcast(repeat(msg))
	m.repeats.Prune(maxRepeats)
}

func (m *mail) sent(to *memberlist.Node, err error) {
	if err != nil {
		m.p.metrics.dropped.Inc()
		m.p.log.Debug().Err(err).Str("member", to.Name).Msg("cannot send to member")
		return
	}
	m.p.metrics.sent.Inc()
}

// repeat is a message in the gossip queue. The states' own versions say which
// message is newer, so none takes the place of another here.
type repeat []byte

var (
	_ memberlist.Broadcast       = repeat{}
	_ memberlist.UniqueBroadcast = repeat{}
)

func (r repeat) Invalidates(memberlist.Broadcast) bool { return false }
func (r repeat) Message() []byte                       { return r }
func (r repeat) Finished()                             {}

// UniqueBroadcast spares the queue a search for messages to replace.
func (r repeat) UniqueBroadcast() {}
