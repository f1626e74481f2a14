package proxy

import (
	"errors"
	"net/netip"
	"time"

	"github.com/valyala/fasthttp"
)

// Why a request could not be forwarded. The error from [Upstream.Forward] wraps
// exactly one of them, or context.Canceled if the caller went away during a try
// that failed, and the cause. The cause is for the log, never for the client.
var (
	// ErrNoBackend: no address is known, or all connections are taken. Answer 503.
	ErrNoBackend = errors.New("no backend available")
	// ErrOpen: the breakers of all endpoints are open. The error is an
	// *[OpenError], which knows when to come back. Answer 503.
	ErrOpen = errors.New("circuit breaker open")
	// ErrTimeout: the deadline passed. Answer 504.
	ErrTimeout = errors.New("upstream timed out")
	// ErrUpstream: the upstream refused, broke off or spoke nonsense. Answer 502.
	ErrUpstream = errors.New("upstream failed")
)

// OpenError wraps [ErrOpen].
type OpenError struct {
	Upstream string
	// RetryAfter is the time until the next trial request, at least a second.
	RetryAfter time.Duration
}

func (e *OpenError) Error() string { return "cannot forward to " + e.Upstream + ": " + ErrOpen.Error() }

// Unwrap returns [ErrOpen].
func (e *OpenError) Unwrap() error { return ErrOpen }

// Header is one header field.
type Header struct{ Name, Value string }

// Exchange is one request on its way. Forward rewrites Request in place, so
// that what the caller needs of it later (path, host) must be copied before,
// and wipes Response first, so that headers must be set on it afterwards.
type Exchange struct {
	Request  *fasthttp.Request
	Response *fasthttp.Response
	// Path is the canonical path, see [router.CanonicalPath]. The query is taken from Request.
	Path string
	// Deadline bounds all tries; the upstream's own timeout and the context's
	// deadline bound them too. Zero means no further bound.
	Deadline time.Time
	// Client is the caller as the gateway determined it, sent as X-Real-IP.
	Client netip.Addr
	// User is who the caller was found to be, "" for nobody; balance: hash may go
	// by it.
	User string
	// Peer is the other end of the connection, sent as the last X-Forwarded-For.
	Peer netip.Addr
	// TrustedPeer says that Peer is a known proxy: its X-Forwarded-* are kept
	// and continued, otherwise they are replaced.
	TrustedPeer bool
	// Scheme and Host are those the peer used; Host may carry a port.
	Scheme, Host string
	// RequestID is sent as X-Request-ID.
	RequestID string
	// Headers are set on the request; whatever the client sent under these
	// names, or under a name an upstream may confuse with them, is dropped.
	Headers []Header
	// Remove lists further names that the client may not send.
	Remove []string
}

// Result tells what became of an exchange, also when it failed.
type Result struct {
	// Upstream is the ip:port of the last try, "" if there was none.
	Upstream string
	// Tries counts the requests the upstream may have seen; a connection found
	// closed before use is not one.
	Tries int
}
