package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/proxy/breaker"
)

const (
	// maxIdle is shorter than what common servers keep an idle connection for
	// (five seconds is a widespread default), so that the gateway is the side
	// that closes it.
	maxIdle = 4 * time.Second
	// bufferSize bounds a response's header block: tokens and cookies do not
	// fit into the usual 4 KiB.
	bufferSize = 16 << 10
)

// endpoint is one address of an upstream: its connections and its breaker.
type endpoint struct {
	target  *target
	addr    string // ip:port
	backend string // addr with the upstream's name, for people
	client  *fasthttp.HostClient
	breaker *breaker.Breaker
	// gate counts the tries under way, each on a connection of its own.
	gate gate
	// id is what balance: hash knows the endpoint by.
	id uint64
	// sick is the verdict of the health checks, streak how many checks in a row
	// contradict it; target.mu guards streak.
	sick   atomic.Bool
	streak int
	// listed is when the name's answer last had this address; target.mu guards it.
	listed time.Time
}

func newEndpoint(t *target, ip netip.Addr) *endpoint {
	e := &endpoint{target: t, addr: netip.AddrPortFrom(ip, t.key.port).String()}
	e.backend = t.name
	if _, err := netip.ParseAddr(t.key.host); err != nil {
		e.backend += "/" + e.addr
	}
	e.id = hash(t.key.scheme() + e.addr)
	e.gate.resize(t.settings.connections.Max)
	// Only the pool of the client is used. TLS is done by dial, within the
	// deadline of the request; the client would give the handshake its own.
	e.client = &fasthttp.HostClient{
		Addr:                e.addr,
		DialTimeout:         e.dial,
		MaxConns:            math.MaxInt32, // the gate bounds them
		MaxIdleConnDuration: maxIdle,
		ReadBufferSize:      bufferSize,
		WriteBufferSize:     bufferSize,
		ConnPoolStrategy:    fasthttp.LIFO,
	}
	e.breaker = t.newBreaker(e.backend)
	if t.stopChecks != nil {
		e.judge(true) // until found otherwise
	}
	return e
}

// dial opens a connection within the request's remaining time, 0 for unknown.
func (e *endpoint) dial(addr string, remaining time.Duration) (net.Conn, error) {
	if e.target.insecure != nil {
		return nil, e.target.insecure
	}
	timeout := dialTimeout
	if remaining > 0 {
		timeout = min(timeout, remaining)
	}
	ctx, cancel := context.WithTimeout(e.target.b.ctx, timeout)
	defer cancel()
	raw, err := e.target.b.options.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to %s: %w", addr, err)
	}
	if !e.target.key.tls {
		return newConn(raw, raw), nil
	}
	secure := tls.Client(raw, e.target.secure)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("cannot shake hands with %s: %w", addr, err)
	}
	return newConn(secure, raw), nil
}

// forget closes idle connections and removes the endpoint's breaker and series. Tries under
// way finish; their connections go when they have been idle.
func (e *endpoint) forget() {
	e.client.CloseIdleConnections()
	if e.breaker.Forget() {
		e.target.b.metrics.forgetBackend(e.backend)
	}
}
