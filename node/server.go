package node

import (
	"errors"
	"net"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
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
		BodyLimit:                    s.BodyLimitBytes,
		ReadBufferSize:               s.HeaderLimitBytes,
		WriteBufferSize:              8 << 10,
		ReadTimeout:                  time.Duration(s.ReadTimeoutMS) * time.Millisecond,
		WriteTimeout:                 time.Duration(s.WriteTimeoutMS) * time.Millisecond,
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
	server.ErrorHandler = n.refuse
	chain := server.Handler
	server.Handler = func(ctx *fasthttp.RequestCtx) {
		if methodName(ctx.Method()) == "" {
			n.refuse(ctx, errUnknownMethod)
			return
		}
		chain(ctx)
	}
	n.app.Handler() // builds Fiber's route tree
}

// refuse answers a request that could not be read. It is counted and logged like
// any other.
func (n *Node) refuse(ctx *fasthttp.RequestCtx, cause error) {
	x := acquireExchange()
	defer releaseExchange(x)
	x.start, x.snapshot = n.now(), n.snapshot.Load()
	x.method, x.id = "OTHER", newRequestID()
	x.peer = peerAddress(ctx.RemoteAddr())
	x.client = x.peer
	x.span = n.tracing.Start("", "")
	x.err = refusal(cause)
	writeProblem(ctx, x.err, x)
	ctx.Response.Header.Set(fiber.HeaderXRequestID, x.id)
	ctx.SetConnectionClose()
	if conn, ok := ctx.Conn().(*clientConn); ok {
		conn.unread.Store(true)
	}
	if saidNothing(cause) {
		return
	}
	x.metrics(n).Observe(x.method, ctx.Response.StatusCode(), 0)
	n.writeAccess(ctx, x)
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
	case errors.Is(cause, errUnknownMethod):
		return errUnknownMethod
	case errors.As(cause, &small):
		return errHeadersTooLarge
	case errors.Is(cause, fasthttp.ErrBodyTooLarge):
		return errBodyTooLarge
	case errors.As(cause, &netErr) && netErr.Timeout(), strings.Contains(cause.Error(), "timeout"):
		return errSlowRequest
	}
	return errMalformed
}
