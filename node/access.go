package node

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/go-api-gateway-pro/gateway/limiter"
	"github.com/go-api-gateway-pro/gateway/telemetry"
)

// accessQueue is how many access lines may wait for a slow disk before further
// ones are dropped and counted.
const accessQueue = 8192

// loggedPath is the path the client asked for: forwarding rewrites the request's
// own.
func (x *exchange) loggedPath() string {
	if x.path != "" {
		return x.path
	}
	return string(x.ctx.URI().PathOriginal())
}

// bytes counts what passed of the bodies, or through the tunnel.
func (x *exchange) bytes() (in, out int64) {
	if t := x.out.Tunnel; t != nil {
		return t.Passed()
	}
	in = x.upload.read
	if !x.ctx.Request.IsBodyStream() && in == 0 {
		in = int64(len(x.ctx.Request.Body()))
	}
	out = x.out.Passed
	if !x.ctx.Response.IsBodyStream() && out == 0 {
		out = int64(len(x.ctx.Response.Body()))
	}
	return in, out
}

// writeAccess writes the request's access log line, if the configuration wants
// it. The order of the fields is promised.
func (n *Node) writeAccess(x *exchange, took time.Duration) {
	status := x.ctx.Response.StatusCode()
	if !x.snapshot.config.Log.LogsAccess(status, rand.Float64) {
		return
	}
	limit := "allowed"
	if x.verdict.Source != limiter.SourceNone && !x.verdict.Allowed {
		limit = "denied"
	}
	in, out := x.bytes()
	var trace [32]byte
	var client, duration [64]byte
	line := n.access.Line(x.start.Add(took)).
		Str("request_id", x.id).
		Bytes("trace_id", x.span.AppendTraceID(trace[:0])).
		Str("method", x.method).
		Str("route", x.label()).
		Str("path", telemetry.Printable(x.loggedPath())).
		Int("status", status).
		RawJSON("duration_ms", appendMillis(duration[:0], took)).
		Str("upstream", x.forwarded.Upstream).
		Int("tries", x.forwarded.Tries).
		Str("limit", limit).
		Str("limit_source", x.verdict.Source.String()).
		Bytes("client_ip", x.client.AppendTo(client[:0])).
		Str("user", telemetry.Printable(x.who.User)).
		Int64("bytes_in", in).
		Int64("bytes_out", out)
	if x.verdict.Shadow != nil {
		line = line.Str("limit_shadow", x.verdict.Shadow.ID)
	}
	if err := cmp.Or(x.err, x.out.Broken); err != nil {
		line = line.Str("error", telemetry.Printable(err.Error()))
	}
	line.Send()
}

// appendMillis appends a duration in milliseconds, to the microsecond, as the
// shortest number: a general one takes as long to render as the rest of the line's
// numbers together.
func appendMillis(b []byte, d time.Duration) []byte {
	micros := d.Microseconds()
	b = strconv.AppendInt(b, micros/1000, 10)
	if micros %= 1000; micros <= 0 {
		return b
	}
	b = append(b, '.', digit(micros/100), digit(micros/10%10), digit(micros%10))
	return bytes.TrimRight(b, "0")
}

func digit(n int64) byte { return '0' + byte(n) }
