package cluster

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"slices"

	"github.com/hashicorp/memberlist"
)

const maxAsked = 4 // peers, before a move

// place is where this node takes part in gossip. It is never written after it is
// stored; a node whose address changes takes another one.
type place struct {
	list  *memberlist.Memberlist
	addr  string // that others are told
	port  int
	local localAddrs
	left  bool // and closed: this node is on its way to another one
}

// open opens the sockets and starts the workers.
func (p *Peer) open() error {
	var err error
	if p.keys, err = newRing(p.options.Config.SecretKey); err != nil {
		return fmt.Errorf("cannot use secret_key: %w", err)
	}
	conf := p.settings()
	if err := setAddrs(conf, p.options.Config); err != nil {
		return err
	}
	if err := p.listen(conf); err != nil {
		return err
	}
	p.workers.Go(p.mail.receive)
	p.workers.Go(p.mail.sendSmall)
	p.workers.Go(p.mail.sendLarge)
	p.workers.Go(p.logChanges)
	return nil
}

// listen begins to gossip. The library calls the delegate before Create returns,
// so everything that one touches exists by now, and none of it is the place.
func (p *Peer) listen(conf *memberlist.Config) error {
	if conf.Transport == nil {
		sockets, err := openGate(conf, p.metrics.refused)
		if err != nil {
			return fmt.Errorf("cannot gossip on %s: %w", p.options.Config.Bind, err)
		}
		conf.Transport = sockets
	}
	list, err := memberlist.Create(conf)
	if err != nil {
		_ = conf.Transport.Shutdown() // the reason why is in err
		return fmt.Errorf("cannot gossip on %s: %w", p.options.Config.Bind, err)
	}
	addr := list.LocalNode().FullAddress().Addr
	p.place.Store(&place{
		list: list, addr: addr, port: conf.BindPort, local: newLocalAddrs(conf.BindAddr, conf.BindPort, addr),
	})
	return nil
}

// settings are all but the addresses. What the library has told of members so far
// is forgotten with them.
func (p *Peer) settings() *memberlist.Config {
	o := p.options
	conf := memberlist.DefaultLANConfig()
	d := delegate{p: p, meta: newMeta(o, p.started).encode(), round: p.table.reset()}
	conf.Name, conf.Label, conf.Keyring = o.Name, o.Config.Label, p.keys
	conf.Transport, conf.Delegate, conf.Events = o.Transport, d, d
	conf.TCPTimeout, conf.PushPullInterval = tcpTimeout, pushPull
	conf.DeadNodeReclaimTime = reclaimName
	conf.EnableCompression = false // payloads are tiny: it would cost more than it saves
	conf.Logger = log.New(newLogWriter(o.Log, p.metrics.refused), "", 0)
	if o.tune != nil {
		o.tune(conf)
	}
	return conf
}

// floats reports whether the address to advertise was found here and not given.
func (p *Peer) floats() bool {
	bind, err := parseAddr(p.options.Config.Bind)
	return err == nil && bind.Addr().IsUnspecified() && p.options.Config.Advertise == ""
}

// homeless reports whether the address that this node advertises is no longer one of
// the machine's.
func (p *Peer) homeless() bool {
	if !p.floats() {
		return false
	}
	here, err := netip.ParseAddrPort(p.place.Load().addr)
	own := interfaceAddrs()
	return err == nil && len(own) > 0 && !slices.Contains(own, here.Addr())
}

// settle moves this node if the address it advertises is no longer the one to be
// reached at: a container was taken off its network and put on one again, or the
// names of others meant nothing yet when it was chosen. The peers are the addresses of
// lost members and those behind the join names, just looked up. One of them must answer: a machine that is
// cut off has a route to everywhere too, through the network it has left.
func (p *Peer) settle(ctx context.Context, peers []netip.AddrPort) error {
	if !p.floats() {
		return nil
	}
	at := p.place.Load()
	here, err := netip.ParseAddrPort(at.addr)
	if err != nil {
		return fmt.Errorf("cannot parse own address %q: %w", at.addr, err)
	}
	routes := routesTo(peers)
	reached := p.Size() > 1 && !p.homeless()
	if !at.left && !misplaced(here.Addr(), routes, reached) {
		return nil
	}
	for _, r := range routes[:min(len(routes), maxAsked)] {
		switch local, ok := r.answers(ctx, p.options.Config.Label); {
		case !ok:
		case local == here.Addr() && !at.left:
			return nil // the route was looked up too early
		default:
			return p.move(local)
		}
	}
	return nil
}

// misplaced reports whether all routes to the peers begin elsewhere than here.
// Where others reach this node here there is no better place.
func misplaced(here netip.Addr, routes []route, reached bool) bool {
	begins := func(r route) bool { return r.local == here }
	return !reached && len(routes) > 0 && !slices.ContainsFunc(routes, begins)
}

// move leaves the present address and begins anew at another one, under the same
// name: the library does not let a living member change its address. Members are
// lost to this node until it has joined them again.
func (p *Peer) move(to netip.Addr) error {
	p.moving.Lock()
	defer p.moving.Unlock()
	if p.base.Err() != nil {
		return nil // Leave has begun
	}
	from := p.place.Load()
	p.log.Warn().Str("from", from.addr).Stringer("to", to).Msg("this node's address has changed, joining again")
	p.vacate(from)
	conf := p.settings()
	conf.BindAddr, conf.BindPort = from.local.bind.Addr().String(), from.port
	conf.AdvertiseAddr, conf.AdvertisePort = to.String(), from.port
	return p.listen(conf)
}

// vacate closes a place, once only: the library panics on a second leave.
func (p *Peer) vacate(from *place) {
	if from.left {
		return
	}
	if err := from.list.Leave(goodbye); err != nil {
		p.log.Debug().Err(err).Msg("nobody heard that this node leaves its address")
	}
	if err := from.list.Shutdown(); err != nil {
		p.log.Debug().Err(err).Msg("cannot close gossip at the old address")
	}
	gone := *from
	gone.left = true
	p.place.Store(&gone)
}
