package node

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/limiter"
	"github.com/go-api-gateway-pro/gateway/node/config"
	"github.com/go-api-gateway-pro/gateway/proxy"
	"github.com/go-api-gateway-pro/gateway/telemetry"
)

// benchmarkExchange is a request that was answered.
func benchmarkExchange(b *testing.B) *exchange {
	cfg := config.Default()
	tracing, err := telemetry.NewTracing(cfg.Otel, zerolog.Nop(), prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	x := &exchange{
		id: newRequestID(), method: "GET", path: "/api/users/1", start: time.Now(), client: netip.MustParseAddr("192.0.2.1"),
		route: &route{label: "/api/users/*"}, snapshot: &snapshot{config: &cfg}, ctx: &fasthttp.RequestCtx{},
		span: tracing.Start("", "", false), forwarded: proxy.Result{Upstream: "192.0.2.2:8080", Tries: 1},
	}
	x.who.User = "alice"
	x.verdict = limiter.Decision{Allowed: true, Remaining: 9, Source: limiter.SourceLease, Limit: &limiter.Limit{
		ID: "/api/users/*", Scope: limiter.ScopeUser, Rate: 10, Burst: 10, Period: time.Second,
	}}
	return x
}

// BenchmarkAccessLine is one line, up to the writer.
func BenchmarkAccessLine(b *testing.B) {
	x := benchmarkExchange(b)
	n := &Node{access: telemetry.NewAccessLog(io.Discard, x.snapshot.config.Log)}
	b.ReportAllocs()
	for b.Loop() {
		n.writeAccess(x, time.Millisecond)
	}
}

// BenchmarkResponseHeaders is what an answer has beside the upstream's own fields.
func BenchmarkResponseHeaders(b *testing.B) {
	x := benchmarkExchange(b)
	cors := newCORS(config.CORS{AllowOrigins: []string{"https://app.example"}})
	h := &x.ctx.Response.Header
	b.ReportAllocs()
	for b.Loop() {
		h.Reset()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-store")
		dropReplaced(h, true, true)
		cors.apply(originOf(&x.ctx.Request.Header, x.names), h, false)
		setLimitHeaders(h, &x.verdict)
	}
}
