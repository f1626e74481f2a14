package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
)

const (
	// DefaultIPv6Prefix is what one customer usually gets; within it an address is free to choose.
	DefaultIPv6Prefix = 64
	mappedBits        = 96 // the length of ::ffff:0:0, in front of an IPv4 address
)

// Addresses knows which peers are our own proxies and finds the client behind them. It is safe for
// concurrent use.
type Addresses struct {
	trusted []netip.Prefix
	prefix  int       // bits of an IPv6 address by which it is limited
	walks   sync.Pool // of *walk: a closure per request would be two allocations
}

// NewAddresses takes the trusted proxies, each a CIDR or a single address; none: every peer is a client.
// IPv6 addresses are limited by their first prefix bits (32 to 128). The error joins all problems, each
// beginning "trusted_proxies[i]: " or "ipv6_prefix: ".
func NewAddresses(trusted []string, prefix int) (*Addresses, error) {
	a := &Addresses{prefix: prefix}
	a.walks.New = func() any { return newWalk(a) }
	var problems []error
	if prefix < 32 || prefix > 128 {
		problems = append(problems, fmt.Errorf("ipv6_prefix: must be between 32 and 128, got %d", prefix))
	}
	for i, text := range trusted {
		prefix, ok := parsePrefix(text)
		if !ok {
			problems = append(problems, fmt.Errorf("trusted_proxies[%d]: must be an address or a CIDR such as 10.0.0.0/8, got %q", i, text))
			continue
		}
		a.trusted = append(a.trusted, prefix)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return a, nil
}

// parsePrefix reads a CIDR or a single address; an IPv4 range in its IPv6 form becomes plain IPv4.
func parsePrefix(text string) (netip.Prefix, bool) {
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), addr.Zone() == ""
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, false
	}
	if prefix.Addr().Is4In6() {
		if prefix.Bits() < mappedBits {
			return netip.Prefix{}, false
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-mappedBits)
	}
	return prefix.Masked(), true
}

// Trusted reports whether an address is one of our proxies.
func (a *Addresses) Trusted(addr netip.Addr) bool {
	addr = plain(addr)
	for _, prefix := range a.trusted {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// Client returns the address of the client: without zone, IPv4 as IPv4.
//
// forwardedFor yields the values of all X-Forwarded-For lines in the order of the request (an
// iter.Seq[string]; nil: there are none). The list is walked from the right for as long as the addresses
// are trusted; the first that is not is the client, and nothing to its left is believed. An entry that is
// no address ends the walk at the last good one. The lines may alias request buffers.
func (a *Addresses) Client(peer netip.Addr, forwardedFor func(yield func(string) bool)) netip.Addr {
	peer = plain(peer)
	if forwardedFor == nil || len(a.trusted) == 0 || !a.Trusted(peer) {
		return peer
	}
	w := a.walks.Get().(*walk)
	defer a.walks.Put(w)
	w.found = netip.Addr{}
	forwardedFor(w.yield)
	if !w.found.IsValid() {
		return peer
	}
	return w.found
}

// walk is one pass over the lines of X-Forwarded-For. Lines come from the left and addresses count from the
// right, so after every line found is what the walk would find if that line were the last one.
type walk struct {
	addresses *Addresses
	found     netip.Addr // not valid: the walk ends at whatever is to the right
	yield     func(line string) bool
}

func newWalk(a *Addresses) *walk {
	w := &walk{addresses: a}
	w.yield = w.line
	return w
}

// line walks one line from the right. Only when all of it is trusted do earlier lines count.
func (w *walk) line(line string) bool {
	var last netip.Addr // the last good one of this line
	for line != "" {
		entry := line
		if comma := strings.LastIndexByte(line, ','); comma >= 0 {
			line, entry = line[:comma], line[comma+1:]
		} else {
			line = ""
		}
		entry = strings.Trim(entry, " \t")
		if entry == "" {
			continue
		}
		addr, ok := parseForwarded(entry)
		if !ok {
			w.found = last
			return true
		}
		last = addr
		if !w.addresses.Trusted(addr) {
			w.found = addr
			return true
		}
	}
	if !w.found.IsValid() {
		w.found = last
	}
	return true
}

// parseForwarded reads one entry: an address, perhaps in brackets, perhaps with a port or a zone.
func parseForwarded(entry string) (netip.Addr, bool) {
	host := entry
	if strings.HasPrefix(entry, "[") {
		inner, after, closed := strings.Cut(entry[1:], "]")
		if !closed || after != "" && !isPort(after) {
			return netip.Addr{}, false
		}
		host = inner
	} else if colon := strings.IndexByte(entry, ':'); colon >= 0 && colon == strings.LastIndexByte(entry, ':') {
		if !isPort(entry[colon:]) {
			return netip.Addr{}, false
		}
		host = entry[:colon]
	}
	// A zone means nothing on this machine, and parsing one would keep a string of the client's choice.
	host, _, _ = strings.Cut(host, "%")
	addr, err := netip.ParseAddr(host)
	return addr.Unmap(), err == nil
}

// isPort reports whether s is ":" and one to five digits.
func isPort(s string) bool {
	if len(s) < 2 || len(s) > 6 || s[0] != ':' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// plain strips what makes one address look like two: the zone and the IPv6 form of an IPv4 address.
func plain(addr netip.Addr) netip.Addr {
	return addr.Unmap().WithZone("")
}

// LimitKey returns the text under which an address is limited: an IPv4 address whole, an IPv6 address by
// its prefix, because a single customer owns all of it. Addresses that are not valid share one key.
func (a *Addresses) LimitKey(addr netip.Addr) string {
	addr = plain(addr)
	if !addr.IsValid() {
		return "unknown"
	}
	if addr.Is4() {
		return addr.String()
	}
	return netip.PrefixFrom(addr, a.prefix).Masked().String()
}
