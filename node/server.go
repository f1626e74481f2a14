package node

import (
	"errors"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/proxy/router"
)

// pooledBody bounds the body buffers kept for reuse: one large upload must not
// stay in memory for good.
const pooledBody = 64 << 10

// fiberConfig are the server settings. Paths are matched by our own router on
// the canonical path, bodies are passed on as they came.
func (n *Node) fiberConfig() fiber.Config {
	s := n.snapshot.Load().config.Server
	return fiber.Config{
		CaseSensitive:                true,
		StrictRouting:                true,
		DisablePreParseMultipartForm: true,
		DisableDefaultContentType:    true,
		StreamRequestBody:            true,
		BodyLimit:                    smallBody, // what is read ahead of the chain, not what is allowed
		ReadBufferSize:               s.HeaderLimitBytes,
		WriteBufferSize:              8 << 10,
		ReadTimeout:                  time.Duration(s.ReadTimeoutMS) * time.Millisecond,
		IdleTimeout:                  time.Duration(s.IdleTimeoutMS) * time.Millisecond,
		RequestMethods:               []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"},
	}
}

// tuneServer sets what Fiber does not pass on, and takes over the requests that
// never reach the chain.
func (n *Node) tuneServer() {
	fasthttp.SetBodySizePoolLimit(pooledBody, pooledBody)
	server := n.app.Server()
	server.CloseOnShutdown = true
	server.LazyRequestTime = true // each exchange has its own
	server.ErrorHandler = n.refuse
	server.ConnState = func(conn net.Conn, s fasthttp.ConnState) { clientOf(conn).state(s) }
	n.data.resume = func(conn net.Conn) { _ = server.ServeConn(conn) } // it answers what fails
	server.HeaderReceived = n.beforeBody
	server.ExpectHandler = n.mayContinue
	chain := server.Handler
	server.Handler = n.survive(func(ctx *fasthttp.RequestCtx) {
		names, err := wellFormed(&ctx.Request)
		if err != nil {
			n.refuse(ctx, err)
			return
		}
		clientOf(ctx.Conn()).names = names
		chain(ctx)
	})
	n.app.Handler() // builds Fiber's route tree
}

// survive is the last resort against a panic in the steps around contain, which
// answer, count and log: fasthttp has none, and the process would end.
func (n *Node) survive(handler fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		defer func() {
			if cause := recover(); cause != nil {
				n.logger.Error().Any("panic", cause).Bytes("stack", debug.Stack()).Msg("the chain panicked")
				ctx.Response.Reset()
				ctx.Response.SetStatusCode(fasthttp.StatusInternalServerError)
				ctx.SetConnectionClose()
			}
		}()
		handler(ctx)
	}
}

// beforeBody keeps fasthttp from reading ahead: of a body that is not small, all
// but the first byte, and of one that no route takes, that too. Such a request is
// treated as if its client had asked, so that it is refused at once.
func (n *Node) beforeBody(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	size := h.ContentLength()
	if size <= smallBody {
		return fasthttp.RequestConfig{}
	}
	if size > n.snapshot.Load().bodyLimit {
		h.Set("Expect", "100-continue")
	}
	return fasthttp.RequestConfig{MaxRequestBodySize: 1}
}

// mayContinue decides on a client that asks before it sends its body ("Expect:
// 100-continue", RFC 9110 §10.1.1). If what is known so far is enough to refuse
// it, the chain does so at once; else it may send, and the chain begins then.
func (n *Node) mayContinue(ctx *fasthttp.RequestCtx) int {
	if n.wouldRefuse(ctx) == nil {
		return fasthttp.StatusContinue
	}
	n.app.Server().Handler(ctx)
	return ctx.Response.StatusCode()
}

// wouldRefuse goes through the chain's steps that change nothing.
func (n *Node) wouldRefuse(ctx *fasthttp.RequestCtx) error {
	names, err := wellFormed(&ctx.Request)
	if err != nil {
		return err
	}
	s := n.snapshot.Load()
	path, err := router.CanonicalPath(ctx.URI().PathOriginal())
	if err != nil {
		return err
	}
	route, err := s.match(methodName(ctx.Method()), string(ctx.Request.Header.Host()), path)
	switch {
	case err != nil:
		return err
	case bodySize(&ctx.Request) > route.bodyLimit:
		return errBodyTooLarge
	case route.gate.Verifier != nil:
		shown, err := credentials(&ctx.Request.Header, names, s.config.JWT.Cookie)
		if err != nil {
			return err
		}
		_, err = route.gate.Admit(shown)
		return err
	}
	return nil
}

// refuse answers a request that could not be read. It is counted and logged like
// any other.
func (n *Node) refuse(ctx *fasthttp.RequestCtx, cause error) {
	if isPreface(cause) {
		cause = errVersion
		sendAway(ctx)
	}
	x := acquireExchange()
	defer releaseExchange(x)
	x.node, x.ctx = n, ctx
	x.start, x.snapshot = n.now(), n.snapshot.Load()
	x.method, x.id = "OTHER", newRequestID()
	x.conn = clientOf(ctx.Conn())
	x.peer, x.client = x.conn.remote, x.conn.remote
	x.span = n.tracing.Start("", "", false)
	x.err = refusal(cause)
	writeProblem(ctx, x.err, x)
	ctx.Response.Header.Set(fiber.HeaderXRequestID, x.id)
	ctx.SetConnectionClose()
	x.conn.unread.Store(true)
	if saidNothing(cause) {
		return
	}
	x.metrics(n).Observe(x.method, ctx.Response.StatusCode(), 0, "")
	n.writeAccess(x, 0)
}

// saidNothing reports whether a new connection ended before its first byte, as
// those that browsers and balancers open ahead of need do: no request, no line.
func saidNothing(cause error) bool {
	_, bare := cause.(*net.OpError) //nolint:errorlint // once a byte was read fasthttp wraps it
	return bare
}

// refusal sorts what fasthttp reports. Its own text stays out of the log: it
// quotes the request, which may hold tokens.
func refusal(cause error) error {
	var small *fasthttp.ErrSmallBuffer
	var netErr net.Error
	switch {
	case errors.Is(cause, errUnknownMethod), errors.Is(cause, errVersion):
		return cause
	case errors.As(cause, &small):
		return errHeadersTooLarge
	case errors.Is(cause, fasthttp.ErrBodyTooLarge):
		return errBodyTooLarge
	case errors.As(cause, &netErr) && netErr.Timeout(), strings.Contains(cause.Error(), "timeout"):
		return errSlowRequest
	}
	return errMalformed
}
