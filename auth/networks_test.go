package auth

import (
	"net/netip"
	"strings"
	"testing"
)

func TestNetworks(t *testing.T) {
	n, err := ParseNetworks("allow", []string{"10.0.0.0/8", "192.0.2.7", "::ffff:198.51.100.0/120", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	f := func(addr string, want bool) {
		t.Helper()
		if got := n.Contain(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: got %v, want %v", addr, got, want)
		}
	}
	f("10.255.0.1", true)
	f("11.0.0.1", false)
	f("192.0.2.7", true)
	f("192.0.2.8", false)
	f("198.51.100.200", true)
	f("2001:db8::1", true)
	f("2001:db9::1", false)
	if Networks(nil).Contain(netip.MustParseAddr("10.0.0.1")) {
		t.Error("an empty set contains an address")
	}
}

func TestParseNetworksRefuses(t *testing.T) {
	_, err := ParseNetworks("deny", []string{"10.0.0.0/33", "10.0.0.1", "here"})
	if err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.HasPrefix(err.Error(), `deny[0]: must be an address or a CIDR`) || !strings.Contains(err.Error(), `deny[2]: `) {
		t.Errorf("got %v", err)
	}
}
