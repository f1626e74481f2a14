package node

import (
	"runtime/debug"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/auth"
	"github.com/go-api-gateway-pro/gateway/limiter"
	"github.com/go-api-gateway-pro/gateway/proxy"
	"github.com/go-api-gateway-pro/gateway/proxy/router"
)

// newApp lists everything that happens to a request, in order. Nothing is added
// elsewhere: a step that needs neither route nor user is one more handler here,
// any other is one more line in serve.
func (n *Node) newApp() *fiber.App {
	app := fiber.New(n.fiberConfig())
	app.Use(
		n.identify, //  1 give it an id
		n.observe,  //  2 to 4: one access log line, counted, timed, a span; they end with the answer
		n.answer,   // 14 errors become problem+json, then the response headers
		n.contain,  //  5 a panic is a 500, the process lives
		n.cors,     //  6 preflights end here
		n.serve,    //  7 to 13
	)
	return app
}

// serve is a routed request's way through the gateway.
func (n *Node) serve(c fiber.Ctx) error {
	x := exchangeOf(c)

	// 7. One canonical path decides on match, authentication and forwarding.
	path, err := router.CanonicalPath(c.RequestCtx().URI().PathOriginal())
	if err != nil {
		return err // 400
	}
	x.path = path
	if builtin := n.builtins[path]; builtin != nil {
		return n.serveBuiltin(c, path, builtin)
	}
	x.host = x.conn.named(c.RequestCtx().Request.Header.Host())
	route, err := x.snapshot.match(x.method, x.host, path)
	if err != nil {
		return err // 404, 405
	}
	x.setRoute(route)
	if err := n.admit(c, x); err != nil {
		return err // 403, 413, 503: before anything is charged
	}

	// 8. One deadline for everything that follows, all tries included.
	deadline := x.start.Add(route.timeout)

	// 9. Who is calling.
	if route.gate.Verifier != nil {
		shown, err := credentials(&c.RequestCtx().Request.Header, x.names, x.snapshot.config.JWT.Cookie)
		if err != nil {
			return err // 400
		}
		if x.who, err = n.authenticate(x, shown); err != nil {
			return n.chargeStranger(x, err) // 401, 403, 503, or 429 for a stranger who keeps knocking
		}
	}

	// 10. All buckets of the request are charged, or none.
	var buckets [maxBuckets]limiter.Bucket
	n.check(x, route.buckets(buckets[:0], c.RequestCtx(), x))
	if !x.verdict.Allowed {
		return errLimited // 429
	}

	// 11 to 13. Only now the body: pick an upstream, retry, forward.
	if err := x.takeBody(c.RequestCtx(), n); err != nil {
		return err // 400, 408, 413, 417
	}
	return n.forward(c, x, deadline) // 502, 503, 504
}

// forward sends the request on. What the upstream answers may be a response, the
// beginning of one, or a tunnel.
func (n *Node) forward(c fiber.Ctx, x *exchange, deadline time.Time) error {
	out := n.outbound(c, x, deadline)
	x.conn.waitFor(out, x.start)
	var err error
	x.forwarded, err = x.route.upstream.Forward(x.span.Context(), out)
	if err == nil && out.Tunnel != nil {
		n.tunnel(c.RequestCtx(), x)
	}
	return err
}

// admit turns away whom the route does not want, what is too large for it, and
// what is one too many at the moment.
func (n *Node) admit(c fiber.Ctx, x *exchange) error {
	if !x.route.welcomes(x.client) {
		return errAddress
	}
	if bodySize(&c.RequestCtx().Request) > x.route.bodyLimit {
		return errBodyTooLarge
	}
	return n.takeSeat(x)
}

// authenticate asks the route's gate who is calling.
func (n *Node) authenticate(x *exchange, shown auth.Credentials) (auth.Principal, error) {
	if !x.span.Recorded() {
		return x.route.gate.Admit(shown)
	}
	began := n.now()
	who, err := x.route.gate.Admit(shown)
	failure := ""
	if err != nil {
		failure = problemOf(err).code
	}
	x.span.Step("auth", began, n.now(), failure)
	return who, err
}

// check charges all buckets or none. That Redis could not be asked is a failure
// for the trace, a denial is not.
func (n *Node) check(x *exchange, buckets []limiter.Bucket) {
	x.verdict = n.limiter.Check(x.span.Context(), buckets)
	if !x.span.Recorded() {
		return
	}
	ended, failure := n.now(), ""
	if len(x.snapshot.config.Redis.Addrs) > 0 && x.verdict.Source.Fallback() {
		failure = "redis_down"
	}
	x.span.Step("limiter", ended.Add(-x.verdict.Took), ended, failure)
}

// chargeStranger charges a failed authentication to an ip bucket, never to a
// shared one: a crowd without tokens must not spend the customers' budget.
func (n *Node) chargeStranger(x *exchange, cause error) error {
	n.check(x, []limiter.Bucket{x.route.stranger(x)})
	if !x.verdict.Allowed {
		return errLimited
	}
	return cause
}

// outbound describes the request to the proxy.
func (n *Node) outbound(c fiber.Ctx, x *exchange, deadline time.Time) *proxy.Exchange {
	ctx := c.RequestCtx()
	x.out = proxy.Exchange{
		Request:     &ctx.Request,
		Response:    &ctx.Response,
		Path:        x.route.upstreamPath(x.path),
		Deadline:    deadline,
		Client:      x.client,
		User:        x.who.User,
		Peer:        x.peer,
		TrustedPeer: x.snapshot.addresses.Trusted(x.peer),
		Scheme:      schemeOf(ctx),
		Host:        x.host,
		Upgrade:     x.names.may("Upgrade") && proxy.WantsWebSocket(&ctx.Request),
		RequestID:   x.id,
		Trace:       x.span.SpanContext(),
		Remove:      x.snapshot.identityHeaders,
		Headers:     x.out.Headers[:0],
	}
	if jwt := &x.snapshot.config.JWT; x.route.gate.Verifier != nil && !jwt.ForwardToken {
		x.out.Remove = x.snapshot.tokenHeaders
		if jwt.Cookie != "" {
			dropCookie(&ctx.Request.Header, jwt.Cookie)
		}
	}
	for _, h := range x.who.Headers {
		x.out.Headers = append(x.out.Headers, proxy.Header(h))
	}
	return &x.out
}

// identify gives the request its record and its id: the client's own if it is a
// sane one, else a new one.
func (n *Node) identify(c fiber.Ctx) error {
	ctx := c.RequestCtx()
	x := acquireExchange()
	x.begin(ctx, n)
	ctx.SetUserValue(exchangeKey{}, x)
	defer func() {
		if !x.lasts() {
			ctx.RemoveUserValue(exchangeKey{})
			n.conclude(x)
		}
	}()
	c.Response().Header.DelAllCookies() // Fiber answers its own flash cookie before the chain
	return c.Next()
}

// observe begins what conclude ends.
func (n *Node) observe(c fiber.Ctx) error {
	n.requests.InFlight().Inc()
	x := exchangeOf(c)
	parent, state := "", ""
	if x.names.may("Traceparent") {
		parent, state = c.Get("Traceparent"), c.Get("Tracestate")
	}
	x.span = n.tracing.Start(parent, state, x.snapshot.addresses.Trusted(x.client))
	return c.Next()
}

// conclude ends the span, counts and times the request under its route's template
// and writes its access log line: when the chain has ended or, if the answer goes
// on, with its last byte.
func (n *Node) conclude(x *exchange) {
	x.conn.waitFor(nil, x.start)
	x.conn.unread.Store(leftUnread(&x.ctx.Request))
	took, status := n.now().Sub(x.start), x.ctx.Response.StatusCode()
	x.metrics(n).Observe(x.method, status, took, x.span.Exemplar())
	x.endSpan()
	n.vitals.observe(status, took)
	n.requests.InFlight().Dec()
	n.writeAccess(x, took)
	releaseExchange(x)
}

// answer turns an error into its response and sets the response headers. It is
// the last to touch the response: forwarding has wiped what stood there before.
func (n *Node) answer(c fiber.Ctx) error {
	x := exchangeOf(c)
	if x.err = c.Next(); x.err != nil {
		writeProblem(c.RequestCtx(), x.err, x)
	}
	n.setResponseHeaders(c, x)
	if x.old && c.Response().IsBodyStream() && c.Response().Header.ContentLength() < 0 {
		n.answerUnchunked(c.RequestCtx(), x)
	}
	return nil
}

// contain turns a panic into an error that the client learns nothing from.
func (n *Node) contain(c fiber.Ctx) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			n.logger.Error().Str("request_id", exchangeOf(c).id).Any("panic", cause).
				Bytes("stack", debug.Stack()).Msg("request panicked")
			err = errPanicked
		}
	}()
	return c.Next()
}

// cors answers preflight requests; the headers of all others are set by answer.
func (n *Node) cors(c fiber.Ctx) error {
	if !c.RequestCtx().IsOptions() {
		return c.Next()
	}
	x := exchangeOf(c)
	if own := x.snapshot.preflightCORS(c.RequestCtx()); own != nil {
		x.cors = own
	}
	if x.cors.isPreflight(&c.RequestCtx().Request) {
		x.preflight = true
		c.Response().SetStatusCode(fasthttp.StatusNoContent)
		return nil
	}
	return c.Next()
}
