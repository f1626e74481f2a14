package cluster

import (
	"errors"
	"fmt"

	"github.com/hashicorp/memberlist"
)

var (
	errLeft    = errors.New("this node has left the cluster")
	errTooMany = fmt.Errorf("%d messages are under way", maxDialling)
)

// Mailbox lets members send each other messages that are no shared state: to
// one member, over a connection, once. Nothing repairs the loss of such a
// message, so whoever sends one must expect no answer. The key is one of
// Share's, with the same rules.
//
// take gets what others send. It runs in the one goroutine that takes in
// messages, so it must not block; the bytes are its own.
//
// send hands a message to the named member and returns at once. If it cannot be
// handed over, failed is called, perhaps before send returns, perhaps from
// another goroutine; it must not block. At most 32 messages are under way at
// once, so that a member that stands still cannot collect them.
func (p *Peer) Mailbox(key string, take func(message []byte)) (send func(to string, message []byte, failed func(error))) {
	p.Share(key, mailbox(take))
	return func(to string, message []byte, failed func(error)) {
		if err := p.dispatch(to, appendPart([]byte{wireVersion}, part{key: key, data: message}), failed); err != nil {
			failed(fmt.Errorf("cannot send to %s: %w", to, err))
		}
	}
}

func (p *Peer) dispatch(to string, msg []byte, failed func(error)) error {
	node := p.table.find(to)
	if node == nil {
		return errors.New("not a member")
	}
	p.life.Lock() // a worker must not start once Leave waits for them
	defer p.life.Unlock()
	if p.left {
		return errLeft
	}
	select {
	case p.mail.direct <- struct{}{}:
	default:
		return errTooMany
	}
	p.workers.Go(func() {
		defer func() { <-p.mail.direct }()
		err := p.place.Load().list.SendReliable(node, msg)
		p.mail.sent(node, err)
		if err != nil {
			failed(fmt.Errorf("cannot send to %s: %w", to, err))
		}
	})
	return nil
}

// find returns the live member of that name, nil if there is none; never this
// node.
func (t *table) find(name string) *memberlist.Node {
	for _, n := range t.current.Load().others {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// mailbox is a State without a state.
type mailbox func(message []byte)

var _ State = mailbox(nil)

// MarshalBinary has nothing to repair.
func (m mailbox) MarshalBinary() ([]byte, error) { return nil, nil }

// Merge takes one message. The empty part of a full state is none.
func (m mailbox) Merge(message []byte) error {
	if len(message) > 0 {
		m(append([]byte(nil), message...))
	}
	return nil
}
