package node

import (
	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/limiter"
)

// accessQueue is how many access lines may wait for a slow disk before further
// ones are dropped and counted.
const accessQueue = 8192

// loggedPath is the path the client asked for: forwarding rewrites the request's
// own.
func (x *exchange) loggedPath(ctx *fasthttp.RequestCtx) string {
	if x.path != "" {
		return x.path
	}
	return string(ctx.URI().PathOriginal())
}

// writeAccess writes the request's access log line, if the configuration wants
// it.
func (n *Node) writeAccess(ctx *fasthttp.RequestCtx, x *exchange) {
	status := ctx.Response.StatusCode()
	if !x.snapshot.config.Log.LogsAccess(status) {
		return
	}
	limit := "allowed"
	if x.verdict.Source != limiter.SourceNone && !x.verdict.Allowed {
		limit = "denied"
	}
	line := n.access.Info().
		Str("request_id", x.id).
		Str("trace_id", x.span.TraceID()).
		Str("method", x.method).
		Str("route", x.label()).
		Str("path", x.loggedPath(ctx)).
		Int("status", status).
		Float64("duration_ms", float64(x.took.Microseconds())/1000).
		Str("upstream", x.forwarded.Upstream).
		Int("tries", x.forwarded.Tries).
		Str("limit", limit).
		Str("limit_source", x.verdict.Source.String()).
		Str("client_ip", x.client.String()).
		Str("user", x.who.User).
		Int("bytes_in", len(ctx.Request.Body())).
		Int("bytes_out", len(ctx.Response.Body()))
	if x.verdict.Shadow != nil {
		line = line.Str("limit_shadow", x.verdict.Shadow.ID)
	}
	if x.err != nil {
		line = line.AnErr("error", x.err)
	}
	line.Send()
}
