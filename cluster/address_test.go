package cluster

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
)

func node(name string) *memberlist.Node {
	return &memberlist.Node{Name: name, Addr: net.IPv4(10, 0, 0, 1), Port: 7946}
}

func TestSetAddrs(t *testing.T) {
	f := func(c Config, wantAddr string, wantPort int) {
		t.Helper()
		conf := memberlist.DefaultLANConfig()
		if err := setAddrs(conf, c); err != nil {
			t.Fatal(err)
		}
		if conf.AdvertiseAddr != wantAddr || conf.AdvertisePort != wantPort {
			t.Errorf("%v: advertises %s port %d, want %s port %d", c, conf.AdvertiseAddr, conf.AdvertisePort, wantAddr, wantPort)
		}
	}
	f(Config{Bind: "127.0.0.1:5"}, "127.0.0.1", 5)
	f(Config{Bind: "0.0.0.0:5", Advertise: "10.1.2.3:6"}, "10.1.2.3", 6)
	f(Config{Bind: "0.0.0.0:5", Advertise: "10.1.2.3:0"}, "10.1.2.3", 5)
	f(Config{Bind: "[::1]:5"}, "::1", 5)
}

// Whatever network there is, an unspecified address must become a real one.
func TestReachable(t *testing.T) {
	for _, peers := range [][]string{nil, {"", "127.0.0.1:1", "no-such-host.invalid:1"}, {"192.0.2.1:7946"}} {
		if ip := reachable(peers); !ip.IsValid() || ip.IsUnspecified() {
			t.Errorf("%q: got %v", peers, ip)
		}
	}
}

func TestMisplaced(t *testing.T) {
	f := func(what, here, routes string, reached, want bool) {
		t.Helper()
		var to []route
		for _, r := range strings.Fields(routes) {
			to = append(to, route{local: netip.MustParseAddr(r)})
		}
		if got := misplaced(netip.MustParseAddr(here), to, reached); got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	f("the peers are reached from here", "10.0.0.1", "10.0.0.1", false, false)
	f("one of them is", "10.0.0.1", "10.9.0.1 10.0.0.1", false, false)
	f("another network, nobody met yet", "10.0.0.1", "10.9.0.1", false, true)
	f("another network, but members reach it here", "10.0.0.1", "10.9.0.1", true, false)
	f("no network at all", "10.0.0.1", "", false, false)
}

func TestRouteAnswers(t *testing.T) {
	p := start(t, options("a"))
	there := route{peer: netip.MustParseAddrPort(p.Addr())}
	if local, ok := there.answers(t.Context(), "test"); !ok || local != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("%s: %s, answers %t", there.peer, local, ok)
	}
	if got := count(t, p.metrics.refused.WithLabelValues("label")); got != 0 {
		t.Errorf("asking counts as %v strangers", got)
	}
	if err := p.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := there.answers(t.Context(), "test"); ok {
		t.Errorf("%s answers after it left", there.peer)
	}
}

func TestRoutesTo(t *testing.T) {
	if got := routesTo([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.9:1")}); len(got) != 0 {
		t.Errorf("loopback is no address for others, got %v", got)
	}
	for _, ip := range interfaceAddrs() {
		if ip.IsLoopback() || !ip.Is4() {
			continue
		}
		if got := routesTo([]netip.AddrPort{netip.AddrPortFrom(ip, 1)}); len(got) != 1 || got[0].local != ip {
			t.Errorf("to itself at %s: got %v", ip, got)
		}
	}
}

func TestLocalAddrs(t *testing.T) {
	everywhere := newLocalAddrs("0.0.0.0", 7946, "10.9.9.9:7000").now()
	one := newLocalAddrs("127.0.0.1", 7946, "127.0.0.1:7946").now()
	foreign := newLocalAddrs("", 0, "10.9.9.9:7000").now()
	f := func(l localAddrs, at string, want bool) {
		t.Helper()
		if got := l.has(netip.MustParseAddrPort(at)); got != want {
			t.Errorf("%v has %s: got %v, want %v", l.bind, at, got, want)
		}
	}
	f(everywhere, "10.9.9.9:7000", true)
	f(everywhere, "127.0.0.1:7946", true)
	f(everywhere, "127.0.0.1:7947", false)
	f(everywhere, "203.0.113.7:7946", false)
	f(one, "127.0.0.1:7946", true)
	f(one, "127.0.0.2:7946", false)
	f(foreign, "10.9.9.9:7000", true)
	f(foreign, "127.0.0.1:7946", false)
	for _, ip := range interfaceAddrs() {
		f(everywhere, netip.AddrPortFrom(ip, 7946).String(), true)
	}
}
