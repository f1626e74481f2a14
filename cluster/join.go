package cluster

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	rejoinEvery = 15 * time.Second
	rejoinSoon  = 5 * time.Second // while an address does not answer: it may be the other half of the cluster
	rejoinFirst = time.Second     // doubled up to rejoinEvery: nodes that start together find names late
	joinTimeout = 5 * time.Second // of Join; the attempts themselves go on behind it
	lookupLimit = 3 * time.Second
	maxJoining  = 8 // attempts at once
)

// Join contacts the configured peers and keeps doing so in the background: every
// 15 seconds, sooner at first and while one does not answer, the names are looked
// up again and every address that is not a member is contacted, and so is every
// member lost within the last hour. It returns after the first round, after
// five seconds, or when ctx ends, whichever comes first; whether others were
// found shows in Size. A node that finds nobody is a cluster of one until
// somebody comes. Calls after the first wait for that first round only; after
// Leave it does nothing.
func (p *Peer) Join(ctx context.Context) {
	if p.place.Load() == nil || !p.startJoining() {
		return
	}
	limit := time.NewTimer(joinTimeout)
	defer limit.Stop()
	select {
	case <-p.joined:
	case <-limit.C:
	case <-ctx.Done():
	case <-p.base.Done():
	}
}

// startJoining reports whether there is a first round to wait for.
func (p *Peer) startJoining() bool {
	p.life.Lock()
	defer p.life.Unlock()
	if p.left {
		return false
	}
	if !p.joining {
		p.joining = true
		p.workers.Go(p.keepJoining)
	}
	return true
}

func (p *Peer) keepJoining() {
	j := joiner{p: p, failing: make(map[string]bool)}
	j.round(p.base)
	close(p.joined)
	wait := min(rejoinFirst, p.rejoin)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-p.base.Done():
			return
		case <-timer.C:
		}
		whole := j.round(p.base)
		if wait = min(2*wait, p.rejoin); !whole {
			wait = min(wait, rejoinSoon)
		}
		if p.homeless() {
			wait = min(wait, rejoinFirst)
		}
		timer.Reset(wait)
	}
}

// joiner remembers which peers fail, to log the change and not every attempt.
type joiner struct {
	p *Peer

	mu      sync.Mutex // guards failing
	failing map[string]bool
}

// round reports whether all who should be members are.
func (j *joiner) round(ctx context.Context) (whole bool) {
	var attempts sync.WaitGroup
	var failed atomic.Bool
	slots := make(chan struct{}, maxJoining)
	peers := j.look(ctx)
	if err := j.p.settle(ctx, append(j.p.table.missing(), peers...)); err != nil {
		j.p.log.Error().Err(err).Msg("cannot move to another address, trying again")
	}
	if j.p.homeless() {
		return false // others would take a member in that they cannot reach
	}
	list := j.p.place.Load().list
	strangers := j.strangers(peers)
	for _, at := range strangers {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		attempts.Go(func() {
			defer func() { <-slots }()
			_, err := list.Join([]string{at})
			j.note(at, err)
			if err != nil {
				failed.Store(true)
			}
		})
	}
	attempts.Wait()
	j.forget(strangers)
	return !failed.Load()
}

// forget drops what is known of addresses that are not tried any more.
func (j *joiner) forget(but []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	maps.DeleteFunc(j.failing, func(peer string, _ bool) bool {
		return !slices.Contains(but, peer) && !slices.Contains(j.p.join, peer)
	})
}

// strangers returns the peers, and the addresses of lost members, that are neither
// members nor this node. To join oneself would succeed and mean nothing.
func (j *joiner) strangers(peers []netip.AddrPort) []string {
	local := j.p.place.Load().local.now()
	var out []string
	for _, at := range append(j.p.table.missing(), peers...) {
		if !local.has(at) {
			out = append(out, at.String())
		}
	}
	out = slices.DeleteFunc(out, j.p.table.knows)
	slices.Sort(out)
	return slices.Compact(out)
}

// look returns the addresses behind the configured names.
func (j *joiner) look(ctx context.Context) (peers []netip.AddrPort) {
	all := true
	for _, peer := range j.p.join {
		if peer == "" {
			continue
		}
		found, err := lookup(ctx, peer)
		if ctx.Err() != nil {
			return nil
		}
		j.note(peer, err)
		all = all && err == nil
		peers = append(peers, found...)
	}
	j.expect(peers, all)
	return peers
}

// expect counts the nodes behind the configured names and this one. While a name
// cannot be looked up the number may grow, but not shrink.
func (j *joiner) expect(peers []netip.AddrPort, all bool) {
	local, n := j.p.place.Load().local.now(), int64(1)
	distinct := map[netip.AddrPort]bool{}
	for _, at := range peers {
		if !distinct[at] && !local.has(at) {
			n++
		}
		distinct[at] = true
	}
	if all || n > j.p.expected.Load() {
		j.p.expected.Store(n)
	}
}

func (j *joiner) note(peer string, err error) {
	j.mu.Lock()
	was := j.failing[peer]
	j.failing[peer] = err != nil
	if err == nil {
		delete(j.failing, peer) // addresses come and go: keep the failing ones only
	}
	j.mu.Unlock()
	if err == nil {
		return
	}
	j.p.metrics.joinFailures.Inc()
	event := j.p.log.Warn()
	if was {
		event = j.p.log.Debug()
	}
	event.Err(err).Str("peer", peer).Msg("cannot join peer, trying again")
}

// lookup resolves host:port to every address behind it.
func lookup(ctx context.Context, peer string) ([]netip.AddrPort, error) {
	host, port, err := splitPeer(peer)
	if err != nil {
		return nil, fmt.Errorf("cannot split %q: %w", peer, err)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), port)}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("cannot look up %q: %w", host, err)
	}
	out := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		out = append(out, netip.AddrPortFrom(ip.Unmap(), port))
	}
	return out, nil
}
