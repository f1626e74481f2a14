package cluster

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

const answerLimit = time.Second

// setAddrs fills in where to listen and what to advertise. The library's own
// choice for an unspecified address is the first private one, which is the
// wrong network on a machine with several.
func setAddrs(conf *memberlist.Config, c Config) error {
	if c.Bind == "" { // a transport of the caller's
		conf.BindAddr, conf.BindPort = "", 0
		return nil
	}
	bind, err := parseAddr(c.Bind)
	if err != nil {
		return fmt.Errorf("cannot parse bind address %q: %w", c.Bind, err)
	}
	conf.BindAddr, conf.BindPort = bind.Addr().String(), int(bind.Port())
	conf.AdvertiseAddr, conf.AdvertisePort = conf.BindAddr, conf.BindPort
	if c.Advertise != "" {
		at, err := parseAddr(c.Advertise)
		if err != nil {
			return fmt.Errorf("cannot parse advertise address %q: %w", c.Advertise, err)
		}
		conf.AdvertiseAddr = at.Addr().String()
		if at.Port() != 0 {
			conf.AdvertisePort = int(at.Port())
		}
		return nil
	}
	if bind.Addr().IsUnspecified() {
		conf.AdvertiseAddr = reachable(c.Join).String()
	}
	return nil
}

// reachable picks the address others most likely reach this machine at: the one
// that routes to a join peer, else a private one, else any but loopback. Loopback
// is the answer of a machine without a network. It takes three seconds at most;
// where no name can be looked up in them, settle sees to it later.
func reachable(join []string) netip.Addr {
	ctx, cancel := context.WithTimeout(context.Background(), lookupLimit)
	defer cancel()
	for _, peer := range join {
		found, err := lookup(ctx, peer)
		if err != nil {
			continue
		}
		if routes := routesTo(found); len(routes) > 0 {
			return routes[0].local
		}
	}
	best := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	for _, ip := range interfaceAddrs() {
		if ip.IsPrivate() && ip.Is4() {
			return ip
		}
		if ip.IsGlobalUnicast() && best.IsLoopback() {
			best = ip
		}
	}
	return best
}

// route is the local address from which a peer is reached.
type route struct {
	peer  netip.AddrPort
	local netip.Addr
}

// routesTo returns the routes to the peers, those to other machines first: a name
// may stand for this one too, on each of its networks. It asks the kernel by
// connecting a UDP socket, which sends nothing; whether a peer is there it cannot
// tell.
func routesTo(peers []netip.AddrPort) []route {
	var others, own []route
	for _, at := range peers {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at))
		if err != nil {
			continue
		}
		r := route{peer: at, local: conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()}
		_ = conn.Close()
		switch {
		case r.local.IsLoopback():
		case r.local == at.Addr():
			own = append(own, r)
		default:
			others = append(others, r)
		}
	}
	return append(others, own...)
}

// answers reports whether something accepts connections there, and to which local
// address it speaks: another than that of the route, if a network has come up in the
// meantime. It says the label before it goes, lest it be counted as a stranger.
func (r route) answers(ctx context.Context, label string) (local netip.Addr, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", r.peer.String())
	if err != nil {
		return netip.Addr{}, false
	}
	defer conn.Close()
	local = conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	return local, memberlist.AddLabelHeaderToStream(conn, label) == nil
}

// interfaceAddrs is empty where the kernel does not tell.
func interfaceAddrs() []netip.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}

// localAddrs knows the addresses at which this node would meet itself.
type localAddrs struct {
	bind       netip.AddrPort
	advertised string
	interfaces map[netip.Addr]bool
}

func newLocalAddrs(ip string, port int, advertised string) localAddrs {
	addr, err := netip.ParseAddr(ip)
	if err != nil { // a transport of the caller's: the advertised address is all there is
		return localAddrs{advertised: advertised}
	}
	return localAddrs{bind: netip.AddrPortFrom(addr, uint16(port)), advertised: advertised}
}

// now returns a copy that holds today's interface addresses, which matter if
// the node listens on all of them.
func (l localAddrs) now() localAddrs {
	l.interfaces = make(map[netip.Addr]bool)
	if l.bind.Addr().IsUnspecified() {
		for _, ip := range interfaceAddrs() {
			l.interfaces[ip] = true
		}
	}
	return l
}

func (l localAddrs) has(at netip.AddrPort) bool {
	if at == l.bind || at.String() == l.advertised {
		return true
	}
	if at.Port() != l.bind.Port() || !l.bind.Addr().IsUnspecified() {
		return false
	}
	return at.Addr().IsLoopback() || at.Addr().IsUnspecified() || l.interfaces[at.Addr()]
}
