package cluster

import "github.com/hashicorp/memberlist"

var (
	_ memberlist.Delegate      = delegate{}
	_ memberlist.EventDelegate = delegate{}
)

// delegate is what the gossip library calls. It stands apart from Peer to keep
// these methods out of the package's interface. None of them may block or call
// the library back: NotifyMsg runs in its receive loop, the three events under
// its lock.
type delegate struct {
	p     *Peer
	meta  []byte
	round int // of the table
}

func (d delegate) NodeMeta(limit int) []byte { return d.meta[:min(limit, len(d.meta))] }

func (d delegate) NotifyMsg(msg []byte) { d.p.mail.deliver(msg) }

func (d delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.p.mail.repeats.GetBroadcasts(overhead, limit)
}

func (d delegate) LocalState(bool) []byte { return d.p.snapshot() }

func (d delegate) MergeRemoteState(buf []byte, _ bool) { d.p.mergeSnapshot(buf) }

func (d delegate) NotifyJoin(n *memberlist.Node) { d.p.table.record(d.round, n) }

func (d delegate) NotifyUpdate(n *memberlist.Node) { d.p.table.record(d.round, n) }

func (d delegate) NotifyLeave(n *memberlist.Node) { d.p.table.remove(d.round, n.Name) }
