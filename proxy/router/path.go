package router

import (
	"bytes"
	"errors"
	"fmt"
)

// ErrBadPath marks a path that has no single meaning. Answer 400.
var ErrBadPath = errors.New("bad path")

// CanonicalPath returns the one spelling of a raw request path (no query).
//
// Escaped unreserved characters are decoded, other escapes are written in upper
// case, and bytes that may not stand in a path are escaped. What two servers
// could read differently is refused with an error that wraps [ErrBadPath]:
// control characters, backslashes, escaped slashes and backslashes, broken
// escapes, empty segments, and dot segments in any spelling, also with path
// parameters ("..;x"). The result does not alias raw, and canonicalising it
// again returns it unchanged.
func CanonicalPath(raw []byte) (string, error) {
	if len(raw) == 0 || raw[0] != '/' {
		return "", badPath("it must start with /")
	}
	var stack [256]byte
	out := stack[:0]
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			plain, ok := unescape(raw[i:])
			if !ok {
				return "", badPath("broken or forbidden escape")
			}
			out = appendDecoded(out, plain)
			i += 2
			continue
		}
		switch {
		case isPathByte(c):
			out = append(out, c)
		case isForbidden(c):
			return "", badPath("forbidden character")
		default:
			out = appendEscape(out, c)
		}
	}
	if err := checkSegments(out); err != nil {
		return "", err
	}
	return string(out), nil
}

func badPath(reason string) error {
	return fmt.Errorf("cannot use path: %s: %w", reason, ErrBadPath)
}

// unescape reads the escape at the start of b. Control characters, slash and
// backslash have no harmless meaning when escaped and are refused.
func unescape(b []byte) (byte, bool) {
	if len(b) < 3 {
		return 0, false
	}
	high, ok1 := unhex(b[1])
	low, ok2 := unhex(b[2])
	c := high<<4 | low
	return c, ok1 && ok2 && c >= ' ' && c != 0x7f && c != '/' && c != '\\'
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func appendDecoded(out []byte, c byte) []byte {
	if isUnreserved(c) {
		return append(out, c)
	}
	return appendEscape(out, c)
}

func appendEscape(out []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(out, '%', digits[c>>4], digits[c&15])
}

func isUnreserved(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '-' || c == '.' || c == '_' || c == '~'
}

func isPathByte(c byte) bool {
	if isUnreserved(c) {
		return true
	}
	switch c {
	case '/', '!', '$', '&', '\'', '(', ')', '*', '+', ',', ';', '=', ':', '@':
		return true
	}
	return false
}

func isForbidden(c byte) bool {
	return c <= ' ' || c == 0x7f || c == '\\' || c == '?' || c == '#'
}

func checkSegments(path []byte) error {
	for rest := path[1:]; ; {
		segment, after, more := bytes.Cut(rest, []byte("/"))
		if len(segment) == 0 && more {
			return badPath("empty segment")
		}
		if isDots(segment) {
			return badPath("dot segment")
		}
		if !more {
			return nil
		}
		rest = after
	}
}

// isDots also sees "..;x": some servers cut path parameters off before they
// resolve dots.
func isDots(segment []byte) bool {
	if len(segment) == 0 || segment[0] != '.' {
		return false
	}
	segment, _, _ = bytes.Cut(segment, []byte(";"))
	segment, _, _ = bytes.Cut(segment, []byte("%3B"))
	return string(segment) == "." || string(segment) == ".."
}
