package cluster

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	changeBuffer = 64
	maxLost      = 256       // members remembered after they were lost
	lostFor      = time.Hour // how long they are looked for
)

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
	round int        // counts the resets: events of an earlier round are stale
	known map[string]entry
	lost  map[string]lostMember // by name: went without a word

	current atomic.Pointer[view]
}

type entry struct {
	member  Member
	node    *memberlist.Node // a copy; nil for this node
	started int64            // of its process, by its clock, in nanoseconds
	leaving bool             // it said so
}

type lostMember struct {
	addr string
	at   time.Time
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
		lost:    make(map[string]lostMember),
	}
	t.publishLocked()
	return t
}

func (t *table) members() []Member          { return slices.Clone(t.current.Load().members) }
func (t *table) size() int                  { return len(t.current.Load().members) }
func (t *table) others() []*memberlist.Node { return t.current.Load().others }
func (t *table) knows(addr string) bool     { return t.current.Load().addrs[addr] }

// record adds a member or renews what is known of it.
func (t *table) record(round int, n *memberlist.Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if round != t.round {
		return
	}
	old, seen := t.known[n.Name]
	m := decodeMeta(n.Meta)
	e := entry{started: m.started, leaving: old.leaving, member: Member{
		Name:    n.Name,
		Address: net.JoinHostPort(n.Addr.String(), strconv.Itoa(int(n.Port))),
		Version: m.version,
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
	delete(t.lost, n.Name)
	t.publishLocked()
	if !seen {
		t.tellLocked(e.member, true)
	}
}

// remove forgets a member; this node itself stays.
func (t *table) remove(round int, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, seen := t.known[name]
	if round != t.round || !seen || e.member.Self {
		return
	}
	t.forgetLocked(e)
	t.publishLocked()
	t.tellLocked(e.member, false)
}

func (t *table) forgetLocked(e entry) {
	delete(t.known, e.member.Name)
	if !e.leaving && len(t.lost) < maxLost {
		t.lost[e.member.Name] = lostMember{addr: e.member.Address, at: t.now()}
	}
}

// farewell notes that a member goes of its own will, so that nobody looks for it.
func (t *table) farewell(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.lost, name)
	if e, seen := t.known[name]; seen {
		e.leaving = true
		t.known[name] = e
	}
}

// reset forgets all others, as lost, and begins a new round.
func (t *table) reset() (round int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.round++
	for _, e := range t.known {
		if !e.member.Self {
			t.forgetLocked(e)
		}
	}
	t.publishLocked()
	return t.round
}

// missing returns where members were that were lost within the last hour.
func (t *table) missing() []netip.AddrPort {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []netip.AddrPort
	for name, l := range t.lost {
		if t.now().Sub(l.at) > lostFor {
			delete(t.lost, name)
			continue
		}
		if at, err := netip.ParseAddrPort(l.addr); err == nil {
			out = append(out, at)
		}
	}
	return out
}

// publishLocked shows of several names at one address the one that started last:
// the others are earlier lives of the same node, not yet found dead.
func (t *table) publishLocked() {
	newest := make(map[string]int64, len(t.known))
	for _, e := range t.known {
		newest[e.member.Address] = max(newest[e.member.Address], e.started)
	}
	v := &view{addrs: make(map[string]bool, len(t.known))}
	for _, e := range t.known {
		if !e.member.Self && e.started < newest[e.member.Address] {
			continue
		}
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
