package node

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// wellFormed refuses what fasthttp lets pass but two servers may read in two
// ways. What it accepts is written anew, in one way only, when it is forwarded.
func wellFormed(r *fasthttp.Request) error {
	h := &r.Header
	switch string(h.Protocol()) {
	case "HTTP/1.1", "HTTP/1.0":
	default:
		return errVersion
	}
	if methodName(h.Method()) == "" {
		return errUnknownMethod
	}
	if !isHost(h.Host()) || !isOurs(h.RequestURI(), h.Host()) {
		return errMalformed
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
func wellFramed(raw []byte) error {
	length, encoding := false, false
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n')
		if end < 1 || raw[end-1] != '\r' {
			return errMalformed
		}
		line := raw[:end-1]
		raw = raw[end+1:]
		if len(line) == 0 {
			break
		}
		name := line[:max(0, bytes.IndexByte(line, ':'))]
		if len(name) == 0 || bytes.IndexByte(name, ' ') >= 0 || bytes.IndexByte(name, '\t') >= 0 {
			return errMalformed
		}
		switch len(name) {
		case len("Content-Length"):
			length = length || bytes.EqualFold(name, []byte("Content-Length"))
		case len("Transfer-Encoding"):
			encoding = encoding || bytes.EqualFold(name, []byte("Transfer-Encoding"))
		}
	}
	if length && encoding {
		return errMalformed
	}
	return nil
}
