package node

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// wellFormed refuses what fasthttp lets pass but two servers may read in two
// ways. What it accepts is written anew, in one way only, when it is forwarded. It
// returns which fields there may be.
func wellFormed(r *fasthttp.Request) (fieldNames, error) {
	h := &r.Header
	switch string(h.Protocol()) {
	case "HTTP/1.1", "HTTP/1.0":
	default:
		return 0, errVersion
	}
	if methodName(h.Method()) == "" {
		return 0, errUnknownMethod
	}
	if !isHost(h.Host()) || !isOurs(h.RequestURI(), h.Host()) {
		return 0, errMalformed
	}
	return wellFramed(h.RawHeaders())
}

// isHost accepts a host with an optional port, or none. A user ("u:p@host")
// would become an Authorization header.
func isHost(host []byte) bool {
	return !bytes.ContainsAny(host, "@/\\?#, \t")
}

// isOurs accepts a request target that is a path, or a whole URL for the host that
// Host names (RFC 9112 §3.2.2 has the URL win; other servers go by Host). Neither *
// nor an authority is served here, and without a Host fasthttp would take one for
// what follows two slashes.
func isOurs(target, host []byte) bool {
	_, rest, absolute := bytes.Cut(target, []byte("://"))
	if target[0] == '/' {
		return len(host) > 0 || !bytes.HasPrefix(target, []byte("//"))
	}
	if !absolute {
		return false
	}
	authority := rest
	if i := bytes.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	return bytes.EqualFold(authority, host)
}

// wellFramed looks at the header lines as they came. It refuses a line that does
// not end in CRLF or goes on in the next one (RFC 9112 §5.2), a name with a space
// in it, and a message that has both a length and an encoding (§6.3).
func wellFramed(raw []byte) (names fieldNames, err error) {
	length, encoding := false, false
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n')
		if end < 1 || raw[end-1] != '\r' {
			return 0, errMalformed
		}
		line := raw[:end-1]
		raw = raw[end+1:]
		if len(line) == 0 {
			break
		}
		name := line[:max(0, bytes.IndexByte(line, ':'))]
		if len(name) == 0 || bytes.IndexByte(name, ' ') >= 0 || bytes.IndexByte(name, '\t') >= 0 {
			return 0, errMalformed
		}
		names |= bitOf(len(name), name[0])
		switch len(name) {
		case len("Content-Length"):
			length = length || bytes.EqualFold(name, []byte("Content-Length"))
		case len("Transfer-Encoding"):
			encoding = encoding || bytes.EqualFold(name, []byte("Transfer-Encoding"))
		}
	}
	if length && encoding {
		return 0, errMalformed
	}
	return names, nil
}

// fieldNames says which header fields a request may have: a bit stands for all names
// of one length and first letter, and for some others. Most of what is looked for is
// not there, and to look costs fasthttp more than this.
type fieldNames uint64

func bitOf(length int, first byte) fieldNames {
	const lower = 'a' - 'A'
	return 1 << ((7*length + int(first|lower)) % 64)
}

// may reports whether there may be a field of this name.
func (n fieldNames) may(name string) bool { return n&bitOf(len(name), name[0]) != 0 }

// peek returns the first field of this name, if there is one.
func (n fieldNames) peek(h *fasthttp.RequestHeader, name string) []byte {
	if !n.may(name) {
		return nil
	}
	return h.Peek(name)
}

// peekAll returns all fields of this name.
func (n fieldNames) peekAll(h *fasthttp.RequestHeader, name string) [][]byte {
	if !n.may(name) {
		return nil
	}
	return h.PeekAll(name)
}
