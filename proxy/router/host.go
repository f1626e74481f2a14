package router

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxHost is the longest name DNS allows; longer ones match no host.
const maxHost = 253

// checkHosts returns every fault of a route's hosts.
func checkHosts(i int, hosts []string) error {
	var problems []error
	for j, host := range hosts {
		at := fmt.Sprintf("routes[%d].hosts[%d]", i, j)
		if !isHost(host) {
			problems = append(problems, fmt.Errorf("%s: must be a name such as api.example.com or *.example.com, without port, got %q", at, host))
		}
		same := func(other string) bool { return strings.EqualFold(host, other) }
		if slices.ContainsFunc(hosts[:j], same) {
			problems = append(problems, fmt.Errorf("%s: must appear once, got %q again", at, host))
		}
	}
	return errors.Join(problems...)
}

// isHost accepts names and addresses; an IPv6 address stands in brackets.
func isHost(host string) bool {
	name := strings.TrimPrefix(host, "*.")
	if name == "" || len(host) > maxHost {
		return false
	}
	if inside, ok := strings.CutPrefix(name, "["); ok {
		inside, ok = strings.CutSuffix(inside, "]")
		return ok && name == host && !strings.ContainsAny(inside, "[]*/ ") && strings.Contains(inside, ":")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.TrimFunc(label, isHostRune) != "" {
			return false
		}
	}
	return true
}

func isHostRune(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		return true
	}
	return false
}

// appendHost appends the name in a Host header: lower case, without port and
// without the dot that may end a name. It appends nothing for what is no name.
func appendHost(to []byte, host string) []byte {
	if len(host) > 0 && host[0] == '[' {
		host = host[:strings.IndexByte(host, ']')+1]
	} else if i := strings.IndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	host = strings.TrimSuffix(host, ".")
	if len(host) > maxHost {
		return to
	}
	for _, c := range []byte(host) {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		to = append(to, c)
	}
	return to
}
