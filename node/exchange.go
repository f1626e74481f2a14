package node

import (
	"net/netip"
	"sync"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/auth"
	"github.com/go-api-gateway-pro/gateway/limiter"
	"github.com/go-api-gateway-pro/gateway/proxy"
	"github.com/go-api-gateway-pro/gateway/telemetry"
)

// exchange is what the steps of the chain learn about one request. It belongs
// to that request alone and is reused after it.
type exchange struct {
	// known from the start
	id       string
	method   string
	old      bool // HTTP/1.0
	names    fieldNames
	start    time.Time
	conn     *clientConn
	peer     netip.Addr // who is connected
	client   netip.Addr // who is asking, trusted proxies looked through
	snapshot *snapshot  // one configuration for the whole request

	// learned on the way
	span      telemetry.Span
	preflight bool
	builtin   string // path of the built-in endpoint, if it is one
	route     *route
	cors      *cors     // the cluster's until the route is known
	seats     [2]*crowd // of node and route, taken
	path      string
	host      string // as the client named it, port included
	who       auth.Principal
	verdict   limiter.Decision
	forwarded proxy.Result
	err       error // for the log; the client gets the public text

	// until the answer's last byte
	node   *Node
	ctx    *fasthttp.RequestCtx
	upload upload
	out    proxy.Exchange
}

type exchangeKey struct{}

//nolint:gochecknoglobals // a pool is shared by nature and holds no state
var exchanges = sync.Pool{New: func() any { return new(exchange) }}

func acquireExchange() *exchange { return exchanges.Get().(*exchange) }

func releaseExchange(x *exchange) {
	x.leaveSeats()
	clear(x.out.Headers)
	*x = exchange{out: proxy.Exchange{Headers: x.out.Headers[:0]}, upload: upload{head: x.upload.head[:0]}}
	exchanges.Put(x)
}

func exchangeOf(c fiber.Ctx) *exchange {
	return c.RequestCtx().UserValue(exchangeKey{}).(*exchange)
}

// begin fills in what is known before the first step. Strings are cloned: those
// of the request live in buffers that forwarding rewrites.
func (x *exchange) begin(ctx *fasthttp.RequestCtx, n *Node) {
	s := n.snapshot.Load()
	x.node, x.ctx = n, ctx
	x.start = n.now()
	x.snapshot = s
	x.cors = s.cors
	x.method = methodName(ctx.Method())
	x.old = !ctx.Request.Header.IsHTTP11()
	x.conn = clientOf(ctx.Conn())
	x.peer, x.names = x.conn.remote, x.conn.names
	h := &ctx.Request.Header
	x.id = requestID(x.names.peek(h, fiber.HeaderXRequestID))
	x.client = s.addresses.Client(x.peer, func(yield func(string) bool) {
		for _, line := range x.names.peekAll(h, fiber.HeaderXForwardedFor) {
			if !yield(string(line)) {
				return
			}
		}
	})
}

// setRoute makes the route's own rules those of the request.
func (x *exchange) setRoute(r *route) {
	x.route = r
	if r.cors != nil {
		x.cors = r.cors
	}
}

// label is the route as metrics, traces and the log name it: a template, never
// a path.
func (x *exchange) label() string {
	switch {
	case x.route != nil:
		return x.route.label
	case x.builtin != "":
		return x.builtin
	case x.preflight:
		return "preflight"
	}
	return "unmatched"
}

// metrics returns the pre-resolved series of the request's route.
func (x *exchange) metrics(n *Node) *telemetry.Route {
	if x.route != nil {
		return x.route.metrics
	}
	return n.requests.Route(x.label())
}

func (x *exchange) endSpan() {
	if !x.span.Sampled() {
		x.span.End(telemetry.SpanEnd{})
		return
	}
	end := telemetry.SpanEnd{
		Method: x.method, Path: x.loggedPath(), Scheme: schemeOf(x.ctx), Host: x.host,
		Client: x.client.String(), UserAgent: string(x.ctx.Request.Header.UserAgent()),
		Status: x.ctx.Response.StatusCode(),
	}
	if x.route != nil || x.builtin != "" {
		end.Route = x.label()
	}
	if x.err != nil {
		end.ErrorType = problemOf(x.err).code
	}
	x.span.End(end)
}

// lasts reports whether the answer goes on when the chain has ended: its body is
// streamed, or the connection is taken over.
func (x *exchange) lasts() bool { return x.ctx.Response.IsBodyStream() || x.ctx.Hijacked() }

// Close ends the exchange with the answer's last byte. fasthttp calls it when it
// is done with the request, since the exchange is a value of it.
func (x *exchange) Close() error {
	x.node.conclude(x)
	return nil
}

func schemeOf(ctx *fasthttp.RequestCtx) string {
	if ctx.IsTLS() {
		return "https"
	}
	return "http"
}

// methodName returns a constant string for the methods that are passed on, "" for
// all others.
func methodName(m []byte) string {
	switch string(m) {
	case "GET":
		return "GET"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "DELETE":
		return "DELETE"
	case "PATCH":
		return "PATCH"
	case "HEAD":
		return "HEAD"
	case "OPTIONS":
		return "OPTIONS"
	case "TRACE":
		return "TRACE"
	case "CONNECT":
		return "CONNECT"
	}
	return ""
}
