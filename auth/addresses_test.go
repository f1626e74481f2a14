package auth

import (
	"net/netip"
	"slices"
	"testing"
)

func newTestAddresses(tb testing.TB, trusted ...string) *Addresses {
	tb.Helper()
	a, err := NewAddresses(trusted, DefaultIPv6Prefix)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func TestClient(t *testing.T) {
	a := newTestAddresses(t, "10.0.0.0/8", "192.0.2.1", "fd00::/8", "fe80::/10", "::ffff:172.16.0.0/108")
	f := func(peer, want string, lines ...string) {
		t.Helper()
		if got := a.Client(netip.MustParseAddr(peer), slices.Values(lines)); got.String() != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f("8.8.8.8", "8.8.8.8")
	f("8.8.8.8", "8.8.8.8", "1.1.1.1") // not our proxy: its header is its own invention
	f("10.0.0.1", "10.0.0.1")
	f("10.0.0.1", "10.0.0.1", "")
	f("10.0.0.1", "1.1.1.1", "1.1.1.1")
	f("10.0.0.1", "1.1.1.1", "9.9.9.9, 1.1.1.1") // a forged entry to the left of the real one
	f("10.0.0.1", "1.1.1.1", "9.9.9.9,1.1.1.1, 10.0.0.2 ,192.0.2.1")
	f("10.0.0.1", "10.0.0.3", "10.0.0.3, 10.0.0.2") // all trusted: the leftmost
	f("10.0.0.1", "10.0.0.2", "1.1.1.1, junk, 10.0.0.2")
	f("10.0.0.1", "10.0.0.1", "1.1.1.1, unknown")
	f("10.0.0.1", "10.0.0.1", "1.1.1.1, 1.2.3")
	f("10.0.0.1", "1.1.1.1", "1.1.1.1, , 10.0.0.2,")
	f("10.0.0.1", "1.1.1.1", "9.9.9.9", "1.1.1.1")
	f("10.0.0.1", "1.1.1.1", "1.1.1.1", "10.0.0.2")
	f("10.0.0.1", "1.1.1.1", "9.9.9.9, 1.1.1.1, 10.0.0.3", "", "10.0.0.2")
	f("10.0.0.1", "10.0.0.2", "1.1.1.1, junk", "10.0.0.2")
	f("10.0.0.1", "10.0.0.1", "1.1.1.1", "junk")
	f("10.0.0.1", "10.0.0.4", "1.1.1.1, junk, 10.0.0.4", "10.0.0.2")
	f("10.0.0.1", "1.1.1.1", "1.1.1.1:4711")
	f("10.0.0.1", "10.0.0.1", "1.1.1.1:")
	f("10.0.0.1", "10.0.0.1", "1.1.1.1:http")
	f("10.0.0.1", "2001:db8::1", "2001:db8::1")
	f("10.0.0.1", "2001:db8::1", "[2001:db8::1]")
	f("10.0.0.1", "2001:db8::1", "[2001:db8::1]:443")
	f("10.0.0.1", "10.0.0.1", "[2001:db8::1")
	f("10.0.0.1", "10.0.0.1", "[2001:db8::1]443")
	f("10.0.0.1", "10.0.0.1", "[]")
	f("10.0.0.1", "2001:db8::1", "2001:db8::1%eth0")
	f("10.0.0.1", "1.1.1.1", "::ffff:1.1.1.1")
	f("10.0.0.1", "1.1.1.1", "1.1.1.1, ::ffff:10.0.0.2") // one of ours, in its other form
	f("::ffff:10.0.0.1", "1.1.1.1", "1.1.1.1")
	f("::ffff:8.8.8.8", "8.8.8.8", "1.1.1.1")
	f("fe80::1%eth0", "1.1.1.1", "1.1.1.1")
	f("172.31.0.1", "1.1.1.1", "1.1.1.1")
	f("172.32.0.1", "172.32.0.1", "1.1.1.1")
	f("192.0.2.2", "192.0.2.2", "1.1.1.1")
}

func TestClientWithoutTrustedProxies(t *testing.T) {
	a := newTestAddresses(t)
	peer := netip.MustParseAddr("10.0.0.1")
	lines := slices.Values([]string{"1.1.1.1"})
	if got := a.Client(peer, lines); got != peer {
		t.Errorf("got %s", got)
	}
	if n := testing.AllocsPerRun(100, func() { a.Client(peer, lines) }); n > 0 {
		t.Errorf("%g allocations", n)
	}
	if got := newTestAddresses(t, "10.0.0.0/8").Client(peer, nil); got != peer {
		t.Errorf("no header: got %s", got)
	}
}

func TestNewAddressesErrors(t *testing.T) {
	f := func(want string, trusted ...string) {
		t.Helper()
		if _, err := NewAddresses(trusted, DefaultIPv6Prefix); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	const must = "must be an address or a CIDR such as 10.0.0.0/8, got "
	f("trusted_proxies[0]: "+must+`""`, "")
	f("trusted_proxies[1]: "+must+`"10.0.0.0/33"`, "10.0.0.0/8", "10.0.0.0/33")
	f("trusted_proxies[0]: "+must+`"proxy"`+"\ntrusted_proxies[2]: "+must+`"10/8"`, "proxy", "10.0.0.1", "10/8")
	f("trusted_proxies[0]: "+must+`"fe80::1%eth0"`, "fe80::1%eth0")
	f("trusted_proxies[0]: "+must+`"::ffff:0.0.0.0/95"`, "::ffff:0.0.0.0/95")
	for _, prefix := range []int{0, 31, 129} {
		if _, err := NewAddresses(nil, prefix); err == nil {
			t.Errorf("an IPv6 prefix of %d bits is accepted", prefix)
		}
	}
}

func TestTrusted(t *testing.T) {
	a := newTestAddresses(t, "10.1.2.3/8", "2001:db8::/32")
	f := func(addr string, want bool) {
		t.Helper()
		if got := a.Trusted(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: got %v", addr, got)
		}
	}
	f("10.200.0.1", true)
	f("11.0.0.1", false)
	f("::ffff:10.0.0.1", true)
	f("2001:db8::1%eth0", true)
	f("2001:db9::1", false)
	if a.Trusted(netip.Addr{}) {
		t.Error("no address at all is trusted")
	}
}

func TestLimitKey(t *testing.T) {
	a := newTestAddresses(t)
	f := func(addr netip.Addr, want string) {
		t.Helper()
		if got := a.LimitKey(addr); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(netip.MustParseAddr("1.2.3.4"), "1.2.3.4")
	f(netip.MustParseAddr("::ffff:1.2.3.4"), "1.2.3.4")
	f(netip.MustParseAddr("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64")
	f(netip.MustParseAddr("2001:db8:1:2:ffff::1"), "2001:db8:1:2::/64")
	f(netip.MustParseAddr("2001:db8:1:3::1"), "2001:db8:1:3::/64")
	f(netip.MustParseAddr("fe80::1%eth0"), "fe80::/64")
	f(netip.Addr{}, "unknown")
	a.prefix = 56
	f(netip.MustParseAddr("2001:db8:1:2ff::1"), "2001:db8:1:200::/56")
	f(netip.MustParseAddr("1.2.3.4"), "1.2.3.4")
	a.prefix = 128
	f(netip.MustParseAddr("2001:db8::1"), "2001:db8::1/128")
}

func FuzzClient(f *testing.F) {
	a := newTestAddresses(f, "10.0.0.0/8", "fd00::/8")
	peer := netip.MustParseAddr("10.0.0.1")
	f.Add("1.1.1.1, 10.0.0.2", "[fd00::1]:80")
	f.Add("a,b,,", "%")
	f.Add("[", "]:")
	f.Fuzz(func(t *testing.T, first, second string) {
		got := a.Client(peer, slices.Values([]string{first, second}))
		if !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Fatalf("got %v", got)
		}
		// Whatever a client sends, the entry that our proxy appends to it decides.
		for _, own := range []string{second + ",1.2.3.4", second + ", [1.2.3.4]:5, 10.9.9.9"} {
			if got := a.Client(peer, slices.Values([]string{first, own})); got.String() != "1.2.3.4" {
				t.Fatalf("%q, %q: got %v", first, own, got)
			}
		}
	})
}

func BenchmarkClient(b *testing.B) {
	a := newTestAddresses(b, "10.0.0.0/8", "192.168.0.0/16", "fd00::/8")
	peer := netip.MustParseAddr("10.0.0.1")
	lines := slices.Values([]string{"9.9.9.9, 203.0.113.7, 10.0.0.2"})
	b.ReportAllocs()
	for b.Loop() {
		a.Client(peer, lines)
	}
}
