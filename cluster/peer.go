package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

const (
	tcpTimeout   = 3 * time.Second  // to dial a member, and again to hear from it
	pushPull     = 15 * time.Second // between two exchanges of the full state
	reclaimName  = time.Millisecond // until a dead member may come back at another address: names are unique
	leaveTimeout = 5 * time.Second
	goodbye      = time.Second // to be heard by one member; one gossip round is 0.2 s
	maxName      = 255         // bytes
	maxVersion   = 128         // bytes; the library carries at most 512 with each member
)

// Options is what a Peer is built from.
type Options struct {
	Config Config

	// Name is this node's, unique for every start of the process: a name that
	// comes back from another address is refused until the old one is forgotten.
	// 1 to 255 bytes.
	Name string

	// Version is shown to the other members; at most 128 bytes.
	Version string

	Log        zerolog.Logger
	Registerer prometheus.Registerer // nil: no metrics
	Now        func() time.Time      // nil: time.Now

	// Transport replaces the sockets; nil: TCP and UDP on Config.Bind.
	Transport memberlist.Transport

	tune   func(*memberlist.Config) // shortens the library's timings in tests
	rejoin time.Duration            // between two rounds of joining; 0: rejoinEvery
}

// Peer is this node's membership in the cluster. All methods may be called
// from many goroutines at once and before Join; after Leave nothing is sent or
// heard, and Members keeps its last answer.
type Peer struct {
	options Options
	started time.Time
	join    []string
	rejoin  time.Duration
	log     zerolog.Logger
	quiet   zerolog.Logger        // for what others can provoke: a bounded number of lines
	place   atomic.Pointer[place] // nil: a cluster of one
	keys    *memberlist.Keyring   // nil: not encrypted
	table   *table
	states  states
	mail    *mail
	metrics *metrics

	expected atomic.Int64 // nodes behind the configured names

	base    context.Context // ends when Leave begins
	stop    context.CancelFunc
	over    chan struct{} // closed when Leave waits no longer
	workers sync.WaitGroup
	joined  chan struct{} // closed after the first round of joining

	rotating sync.Mutex // one change of keys at a time
	moving   sync.Mutex // held while place is left

	life    sync.Mutex // guards the fields below
	joining bool
	left    bool

	leave    sync.Once
	leaveErr error
}

// New binds the gossip sockets and starts listening, but contacts nobody.
// Where Config.Bind is empty it opens no socket and the Peer is a cluster of
// one. It returns an error if the options are invalid, no address can be
// bound, or the metrics are registered already; nothing is left behind then.
// The caller must call Leave.
func New(o Options) (*Peer, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	p := newPeer(o)
	if o.Config.Bind != "" || o.Transport != nil {
		if err := p.open(); err != nil {
			p.stop()
			return nil, err
		}
	}
	if err := p.metrics.register(o.Registerer, p); err != nil {
		return nil, errors.Join(err, p.Leave(context.Background()))
	}
	return p, nil
}

func (o Options) check() error {
	var errs []error
	if o.Name == "" || len(o.Name) > maxName {
		errs = append(errs, fmt.Errorf("cannot name member: must be 1 to %d bytes, got %d", maxName, len(o.Name)))
	}
	if len(o.Version) > maxVersion {
		errs = append(errs, fmt.Errorf("cannot announce version: must be at most %d bytes, got %d", maxVersion, len(o.Version)))
	}
	if err := o.Config.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("invalid cluster config: %w", err))
	}
	return errors.Join(errs...)
}

func newPeer(o Options) *Peer {
	now := o.Now
	if now == nil {
		now = time.Now
	}
	started := now()
	p := &Peer{
		options: o,
		started: started,
		join:    o.Config.Join,
		rejoin:  o.rejoin,
		log:     o.Log,
		quiet:   limited(o.Log),
		table:   newTable(Member{Name: o.Name, Version: o.Version, Self: true, Since: started}, now),
		metrics: newMetrics(),
		joined:  make(chan struct{}),
		over:    make(chan struct{}),
	}
	if p.rejoin == 0 {
		p.rejoin = rejoinEvery
	}
	p.base, p.stop = context.WithCancel(context.Background())
	p.mail = newMail(p)
	return p
}

// Name is this node's name.
func (p *Peer) Name() string { return p.options.Name }

// Addr is the ip:port this node is known by, or empty in a cluster of one that
// opened no socket.
// It may change where Config.Advertise is empty and Config.Bind is unspecified.
func (p *Peer) Addr() string {
	if at := p.place.Load(); at != nil {
		return at.addr
	}
	return ""
}

// Members lists the live members by name, this node among them. A member
// under suspicion still counts. The slice is the caller's.
func (p *Peer) Members() []Member { return p.table.members() }

// Size is the number of live members, at least 1. It costs one atomic load.
func (p *Peer) Size() int { return p.table.size() }

// Expected is the number of nodes behind [Config.Join], this one included, as
// they were last looked up; 0 before the first lookup. It tells how large the
// cluster ought to be to a node that finds nobody.
func (p *Peer) Expected() int { return int(p.expected.Load()) }

// HealthScore is 0 while this node keeps up with the gossip protocol, and up to
// 7 the later it answers: then it is starved itself, and its suspicions of
// others deserve less trust.
func (p *Peer) HealthScore() int {
	at := p.place.Load()
	if at == nil {
		return 0
	}
	return at.list.GetHealthScore()
}

// Leave tells the others that this node goes, sends what is still queued,
// closes the sockets and waits for all goroutines of the Peer. It keeps to the
// deadline of ctx and to five seconds; a ctx cancelled before that is heeded
// between the steps. Where time is too short the error says so, the others then
// find out by probing, and the sockets are closed all the same. Further calls do
// nothing and return the first one's error.
func (p *Peer) Leave(ctx context.Context) error {
	p.leave.Do(func() { p.leaveErr = p.goAway(ctx) })
	return p.leaveErr
}

func (p *Peer) goAway(ctx context.Context) error {
	p.life.Lock()
	p.left = true
	p.life.Unlock()
	p.mail.post(farewellKey, []byte(p.Name()))
	p.stop()
	p.moving.Lock() // a move under way comes to its end first
	defer p.moving.Unlock()
	at := p.place.Load()
	if at == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	errs := []error{p.sayGoodbye(ctx, at), p.awaitWorkers(ctx)}
	close(p.over)
	if err := at.list.Shutdown(); err != nil {
		errs = append(errs, fmt.Errorf("cannot close gossip: %w", err))
	}
	return errors.Join(errs...)
}

// sayGoodbye blocks until a member has heard or time is up. Nobody hears when the
// whole cluster stops at once, so that is no error: who is left finds out by
// probing. It must not run beside Shutdown: the library panics on a leave after
// that.
func (p *Peer) sayGoodbye(ctx context.Context, at *place) error {
	if at.left {
		return nil
	}
	end, _ := ctx.Deadline()
	budget := min(time.Until(end), goodbye)
	if ctx.Err() != nil || budget <= 0 { // the library takes 0 for "no limit"
		return fmt.Errorf("cannot announce leave: %w", cmp.Or(ctx.Err(), context.DeadlineExceeded))
	}
	if err := at.list.Leave(budget); err != nil {
		p.log.Debug().Err(err).Dur("waited", budget).Msg("nobody heard that this node leaves")
	}
	return nil
}

func (p *Peer) awaitWorkers(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		p.workers.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot finish sending to members: %w", ctx.Err())
	}
}
