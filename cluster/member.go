package cluster

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

const changeBuffer = 64

// Member is one live node of the cluster.
type Member struct {
	Name    string
	Address string // ip:port of its gossip; empty for a lone node without sockets
	Version string // of the program it runs
	Self    bool
	Since   time.Time // when this node saw it appear, by this node's clock
}

// table is who is there. The library reports changes while it holds its own
// lock, so record and remove touch memory only and call nothing of it; readers
// get a ready-made view without any lock.
type table struct {
	now     func() time.Time
	changes chan change // for the log alone: may overflow

	mu    sync.Mutex // guards the fields below
	known map[string]entry

	current atomic.Pointer[view]
}

type entry struct {
	member Member
	node   *memberlist.Node // a copy; nil for this node
}

// view is never written after it is stored.
type view struct {
	members []Member
	others  []*memberlist.Node
	addrs   map[string]bool // of the others
}

type change struct {
	member Member
	joined bool
	size   int
}

func newTable(self Member, now func() time.Time) *table {
	t := &table{
		now:     now,
		changes: make(chan change, changeBuffer),
		known:   map[string]entry{self.Name: {member: self}},
	}
	t.publishLocked()
	return t
}

func (t *table) members() []Member          { return slices.Clone(t.current.Load().members) }
func (t *table) size() int                  { return len(t.current.Load().members) }
func (t *table) others() []*memberlist.Node { return t.current.Load().others }
func (t *table) knows(addr string) bool     { return t.current.Load().addrs[addr] }

// record adds a member or renews what is known of it.
func (t *table) record(n *memberlist.Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, seen := t.known[n.Name]
	e := entry{member: Member{
		Name:    n.Name,
		Address: net.JoinHostPort(n.Addr.String(), strconv.Itoa(int(n.Port))),
		Version: string(n.Meta),
		Self:    old.member.Self,
		Since:   old.member.Since,
	}}
	if !seen {
		e.member.Since = t.now()
	}
	if !e.member.Self {
		node := *n
		e.node = &node
	}
	t.known[n.Name] = e
	t.publishLocked()
	if !seen {
		t.tellLocked(e.member, true)
	}
}

// remove forgets a member; this node itself stays.
func (t *table) remove(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, seen := t.known[name]
	if !seen || e.member.Self {
		return
	}
	delete(t.known, name)
	t.publishLocked()
	t.tellLocked(e.member, false)
}

func (t *table) publishLocked() {
	v := &view{addrs: make(map[string]bool, len(t.known))}
	for _, e := range t.known {
		v.members = append(v.members, e.member)
		if e.node != nil {
			v.others = append(v.others, e.node)
			v.addrs[e.member.Address] = true
		}
	}
	slices.SortFunc(v.members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	t.current.Store(v)
}

func (t *table) tellLocked(m Member, joined bool) {
	select {
	case t.changes <- change{member: m, joined: joined, size: len(t.known)}:
	default: // a lost log line is better than a gossip that waits for the log
	}
}

// logChanges writes the log outside the library's lock.
func (p *Peer) logChanges() {
	for {
		select {
		case <-p.base.Done():
			return
		case c := <-p.table.changes:
			text := "member left"
			if c.joined {
				text = "member joined"
			}
			p.log.Info().Str("member", c.member.Name).Str("address", c.member.Address).
				Str("version", c.member.Version).Int("members", c.size).Msg(text)
		}
	}
}
