package auth

import "strings"

const forwardedPrefix = "x-forwarded-"

// headerProblem returns what a header name must be when it may not carry a claim, or "".
func headerProblem(name string) string {
	if !isToken(name) {
		return "must be a header name (letters, digits and !#$%&'*+-.^_`|~)"
	}
	lower := strings.ToLower(name)
	if strings.HasPrefix(lower, forwardedPrefix) || reservedHeader(lower) {
		return "must not be a header that HTTP or the gateway itself writes"
	}
	return ""
}

// reservedHeader reports whether a lower-case header name belongs to the connection, to the message's
// framing or to the gateway.
func reservedHeader(lower string) bool {
	switch lower {
	case "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
		"te", "trailer", "transfer-encoding", "upgrade", "expect":
		return true
	case "host", "content-length", "authorization", "cookie", "x-api-key":
		return true
	case "forwarded", "x-real-ip", "x-request-id", "traceparent", "tracestate":
		return true
	}
	return false
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		b := s[i]
		alnum := b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
		if !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(b)) {
			return false
		}
	}
	return s != ""
}
