package proxy

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel/trace"
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

// BodyError says that the client's body could not be read: it wraps why. A body
// stream of a request must fail with it, or its failure would be laid to the
// upstream.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return "cannot read the request body: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *BodyError) Unwrap() error { return e.Err }

// Exchange is one request on its way. Forward rewrites Request in place, so
// that what the caller needs of it later (path, host) must be copied before,
// and wipes Response first, so that headers must be set on it afterwards.
//
// If Request has a body stream it is sent once, as it comes. If Response has
// one after Forward, the exchange lasts until that stream is closed.
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
	// Trace is sent as traceparent and tracestate where a try has no span of its own.
	// If it is invalid, the client's own pass.
	Trace trace.SpanContext
	// Headers are set on the request; whatever the client sent under these
	// names, or under a name an upstream may confuse with them, is dropped.
	Headers []Header
	// Remove lists further names that the client may not send.
	Remove []string
	// Upgrade asks for a WebSocket; see [WantsWebSocket]. If the upstream agrees
	// Response is its 101 and Tunnel the connection, which the caller owns.
	Upgrade bool
	Tunnel  *Tunnel
	// Passed counts the bytes of a streamed response, and Broken is why it ended
	// early because of the upstream. Read them once the stream is closed.
	Passed int64
	Broken error

	idle time.Duration // longest silence of a streamed body
	via  *Upstream     // who forwards it

	mu   sync.Mutex
	conn *conn // the upstream's, while the exchange uses it
	gone bool
}

// Abort ends the exchange, since nobody waits for its answer any more: the
// upstream's connection is closed. It may be called at any time from any
// goroutine, until the exchange is used for another request.
func (x *Exchange) Abort() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.gone = true
	if x.conn != nil {
		_ = x.conn.socket.Close() // TLS would say goodbye first, and may have to wait for that
	}
}

// attach ties the exchange to c, which Abort will close. It returns false after
// Abort.
func (x *Exchange) attach(c *conn) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gone {
		return false
	}
	x.conn = c
	return true
}

// detach unties it again. It returns false if the connection was closed.
func (x *Exchange) detach() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.conn = nil
	return !x.gone
}

func (x *Exchange) aborted() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.gone
}

// Result tells what became of an exchange, also when it failed.
type Result struct {
	// Upstream is the ip:port of the last try, "" if there was none.
	Upstream string
	// Tries counts the requests the upstream may have seen; a connection found
	// closed before use is not one.
	Tries int
}
