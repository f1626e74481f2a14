package breaker

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// muteFor is how long a node that is itself broken keeps silent.
	muteFor = 10 * time.Second
	// sweepEvery is how far back a success shows that a backend works.
	sweepEvery = 5 * time.Second
	// packet bounds a message of several entries: more would not go by one datagram.
	packet = 600
)

// ErrTooMany is returned by [Group.Merge] for entries beyond the 4096 rows and
// 1024 overrides that are kept; the others in the same message were merged.
var ErrTooMany = errors.New("too many rows of breakers")

// Options are what a [Group] needs of the outside. All fields are optional.
type Options struct {
	// Self is this node's name among the members, unique per start of the process.
	Self string
	Now  func() time.Time
	// Members lists the live members, this node among them. It is called while
	// something fails, not for every request, and must not call the group back.
	Members func() []string
}

// Group is all breakers of one node and what the other nodes say about the same
// backends. All methods are safe for concurrent use.
type Group struct {
	options Options
	start   time.Time

	mu        sync.Mutex // guards the fields below and all breakers
	send      func([]byte)
	subjects  map[string]*subject
	rows      int // of all subjects
	overrides int
	version   uint64 // the last number given to a row or an accusation
	sweptAt   time.Time
	muted     time.Time // until when this node keeps silent
	wellAt    time.Time // when another node last contradicted this one
}

// NewGroup returns a group without breakers that sends nothing yet.
func NewGroup(o Options) *Group {
	if o.Self == "" {
		o.Self = "self"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Members == nil {
		alone := []string{o.Self}
		o.Members = func() []string { return alone }
	}
	now := o.Now()
	return &Group{options: o, start: now, sweptAt: now, subjects: make(map[string]*subject)}
}

// Announce sets what sends a message to every other member at once. It is
// called with the group's lock held: it must neither block nor call back.
func (g *Group) Announce(send func(message []byte)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.send = send
}

// Backend names a breaker. Name must be the same on all nodes.
type Backend struct {
	Name     string
	Upstream string // what Name is one address of, for rule 6
	Config   Config // valid
	// Notify is called for every transition, in their order, with the group's
	// lock held; it must not call back. nil: nobody.
	Notify func(Change)
}

// Add returns the breaker of a backend. What others said of it so far counts. Who
// adds a name that is in use gets the breaker that is there, with its settings and
// its notify: a reload may name a backend anew before it forgets the old one, or
// think better of it.
func (g *Group) Add(of Backend) *Breaker {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.subjects[of.Name]; s != nil && s.breaker != nil {
		s.breaker.users++
		return s.breaker
	}
	now := g.options.Now()
	b := &Breaker{users: 1, group: g, upstream: of.Upstream, notify: of.Notify, since: now, openFor: of.Config.openFor()}
	b.settings.Store(&of.Config)
	if b.notify == nil {
		b.notify = func(Change) {}
	}
	b.subject = g.subjectLocked(of.Name)
	b.subject.breaker = b
	b.obeyLocked(now)
	b.listenLocked(now)
	b.gateLocked(now)
	return b
}

func (g *Group) subjectLocked(backend string) *subject {
	s := g.subjects[backend]
	if s == nil {
		s = &subject{backend: backend, rows: make(map[string]*row)}
		g.subjects[backend] = s
	}
	return s
}

// Forget undoes one Add. After the last one, for which it returns true, what this
// node said of the backend is withdrawn, and requests still under way change
// nothing any more.
func (b *Breaker) Forget() (last bool) {
	g := b.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if b.users--; b.users > 0 || b.gone {
		return false
	}
	b.publishLocked(nothing, g.options.Now())
	b.gone = true
	b.subject.breaker = nil
	g.dropLocked(b.subject)
	return true
}

// dropLocked forgets a subject that nobody needs.
func (g *Group) dropLocked(s *subject) {
	if s.breaker == nil && s.override == nil && len(s.rows) == 0 {
		delete(g.subjects, s.backend)
	}
}

// Tick does what time brings: it renews rows, ends overrides and silence, and
// forgets what expired. Call it about every second.
func (g *Group) Tick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.options.Now()
	g.sweepLocked(now)
	if !g.muted.IsZero() && !now.Before(g.muted) {
		g.unmuteLocked(now)
	}
	var renewed message
	for _, backend := range slices.Sorted(maps.Keys(g.subjects)) {
		s := g.subjects[backend]
		g.expireLocked(s, now)
		if r := g.renewLocked(s, now); r != nil {
			renewed.add(appendRow(nil, backend, g.options.Self, r, now))
		}
		if b := s.breaker; b != nil {
			b.obeyLocked(now)
			b.listenLocked(now)
			b.gateLocked(now)
		}
		g.dropLocked(s)
	}
	for _, m := range renewed.packets {
		g.sendLocked(m)
	}
}

// renewLocked gives this node's row another life if it accuses and a third of
// its life is over. It returns the row if so.
func (g *Group) renewLocked(s *subject, now time.Time) *row {
	r := s.rows[g.options.Self]
	if r == nil || !r.claim.accuses() || r.expires.Sub(now) > rowTTL*2/3 {
		return nil
	}
	r.version, r.expires = g.nextLocked(), now.Add(rowTTL)
	return r
}

func (g *Group) expireLocked(s *subject, now time.Time) {
	for observer, r := range s.rows {
		if now.Sub(r.expires) >= rowTTL {
			delete(s.rows, observer)
			g.rows--
		}
	}
	if o := s.override; o != nil && !now.Before(o.expires) {
		if s.breaker != nil {
			s.breaker.obeyLocked(now)
		}
		s.override = nil
		g.overrides--
	}
}

func (g *Group) nextLocked() uint64 {
	g.version++
	return g.version
}

func (g *Group) sendLocked(message []byte) {
	if g.send != nil {
		g.send(message)
	}
}

// message collects entries into packets.
type message struct{ packets [][]byte }

func (m *message) add(entry []byte) {
	last := len(m.packets) - 1
	if last < 0 || len(m.packets[last])+len(entry) > packet {
		m.packets = append(m.packets, []byte{wireVersion})
		last++
	}
	m.packets[last] = append(m.packets[last], entry...)
}
