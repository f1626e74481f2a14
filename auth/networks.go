package auth

import (
	"errors"
	"fmt"
	"net/netip"
)

// Networks is a set of address ranges. It is immutable and safe for concurrent use.
type Networks []netip.Prefix

// ParseNetworks takes CIDRs and single addresses. The error joins all problems, each beginning with
// "NAME[i]: ".
func ParseNetworks(name string, list []string) (Networks, error) {
	var out Networks
	var problems []error
	for i, text := range list {
		prefix, ok := parsePrefix(text)
		if !ok {
			problems = append(problems, fmt.Errorf("%s[%d]: must be an address or a CIDR such as 10.0.0.0/8, got %q", name, i, text))
			continue
		}
		out = append(out, prefix)
	}
	return out, errors.Join(problems...)
}

// Contain reports whether an address, as [Addresses.Client] returns it, is in the set.
func (n Networks) Contain(addr netip.Addr) bool {
	for _, prefix := range n {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
