package node

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/limiter"
	"github.com/go-api-gateway-pro/gateway/proxy"
)

// maxRequestID bounds an id that a client may choose.
const maxRequestID = 128

// requestID keeps a sane inbound id (at most 128 visible ASCII characters) and
// makes one otherwise.
func requestID(inbound []byte) string {
	if !isSaneID(inbound) {
		return newRequestID()
	}
	return string(inbound)
}

func isSaneID(id []byte) bool {
	for _, b := range id {
		if b <= ' ' || b > '~' {
			return false
		}
	}
	return len(id) > 0 && len(id) <= maxRequestID
}

// newRequestID returns 128 random bits. It names a request and guards nothing,
// so the runtime's generator is good enough.
func newRequestID() string {
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64())
	return hex.EncodeToString(raw[:])
}

// peerAddress returns the address of the connection's other end.
func peerAddress(addr net.Addr) netip.Addr {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	parsed, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.IPv4Unspecified()
	}
	return parsed.Addr().Unmap()
}

// setResponseHeaders is the chain's last step.
func (n *Node) setResponseHeaders(c fiber.Ctx, x *exchange) {
	h := &c.Response().Header
	dropReplaced(h, x.cors.enabled(), tells(&x.verdict))
	h.SetCanonical([]byte("X-Request-Id"), []byte(x.id))
	x.cors.apply(originOf(&c.RequestCtx().Request.Header, x.names), h, x.preflight)
	setLimitHeaders(h, &x.verdict)
	setRetryAfter(h, x.err)
	if x.route != nil {
		x.route.responseHeaders.Response(h) // the operator's word is the last
	}
	if n.draining.Load() {
		c.Response().SetConnectionClose()
	}
}

// dropReplaced removes what the upstream said, once or more often, of that which the
// gateway says itself: two answerers must not both do. Most upstreams say nothing of
// it, so the names are looked for once, not each alone.
func dropReplaced(h *fasthttp.ResponseHeader, cors, limits bool) {
	var stack [8]string
	names := stack[:0]
	for name := range h.All() {
		if string(name) == "X-Request-Id" || cors && isCORS(name) || limits && isQuota(name) {
			names = append(names, string(name))
		}
	}
	for _, name := range names {
		h.Del(name)
	}
}

func isQuota(name []byte) bool {
	switch string(name) {
	case "Ratelimit", "Ratelimit-Policy", "X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset":
		return true
	}
	return false
}

// tells reports whether the client is told its bucket. The cluster's global bucket
// is nobody's business.
func tells(d *limiter.Decision) bool {
	return d.Source != limiter.SourceNone && d.Limit != nil && d.Limit.Scope != "global"
}

// setRetryAfter says when a 503 is worth another try.
func setRetryAfter(h *fasthttp.ResponseHeader, err error) {
	if open, ok := errors.AsType[*proxy.OpenError](err); ok {
		h.Set(fiber.HeaderRetryAfter, seconds(open.RetryAfter))
	} else if errors.Is(err, errCrowded) || errors.Is(err, proxy.ErrNoBackend) {
		h.Set(fiber.HeaderRetryAfter, seconds(0))
	}
}

// setLimitHeaders tells the client its bucket. A denial by the global one carries
// Retry-After alone.
func setLimitHeaders(h *fasthttp.ResponseHeader, d *limiter.Decision) {
	if d.Source == limiter.SourceNone {
		return
	}
	if !d.Allowed {
		h.Set(fiber.HeaderRetryAfter, seconds(d.RetryAfter))
	}
	if !tells(d) {
		return
	}
	window := fillSeconds(d.Limit)
	reset := wholeSeconds(d.ResetAfter)
	if d.Remaining == 0 {
		reset = wholeSeconds(d.RetryAfter)
	}
	setQuota(h, "Ratelimit-Policy", d.Limit.Scope, quota{'q', int64(d.Limit.Burst), 'w', window})
	setQuota(h, "Ratelimit", d.Limit.Scope, quota{'r', int64(d.Remaining), 't', reset})
	setNumber(h, "X-Ratelimit-Limit", int64(d.Limit.Burst))
	setNumber(h, "X-Ratelimit-Remaining", int64(d.Remaining))
	setNumber(h, "X-Ratelimit-Reset", reset)
}

// fillSeconds is how long an empty bucket takes to fill. The product of a day and
// a large burst is no duration any more.
func fillSeconds(l *limiter.Limit) int64 {
	return max(1, int64(math.Ceil(l.Period.Seconds()*float64(l.Burst)/float64(l.Rate))))
}

// quota is two parameters of an item in the RateLimit headers.
type quota struct {
	amount byte
	tokens int64
	time   byte
	left   int64
}

// setQuota writes "scope";q=1;w=2. This and setNumber allocate nothing, and their
// names are spelled as fasthttp normalises them, which saves that: every answer has
// them.
func setQuota(h *fasthttp.ResponseHeader, name, scope string, q quota) {
	var buffer [96]byte
	b := append(append(append(buffer[:0], '"'), scope...), '"')
	b = strconv.AppendInt(append(b, ';', q.amount, '='), q.tokens, 10)
	b = strconv.AppendInt(append(b, ';', q.time, '='), q.left, 10)
	h.SetCanonical([]byte(name), b)
}

func setNumber(h *fasthttp.ResponseHeader, name string, n int64) {
	var buffer [20]byte
	h.SetCanonical([]byte(name), strconv.AppendInt(buffer[:0], n, 10))
}

// seconds is wholeSeconds as text.
func seconds(d time.Duration) string { return strconv.FormatInt(wholeSeconds(d), 10) }

// wholeSeconds rounds up, to at least one.
func wholeSeconds(d time.Duration) int64 {
	return max(1, int64((d+time.Second-1)/time.Second))
}
