package proxy

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"
)

// forwarded holds the values of X-Forwarded-*, taken before anything is dropped.
type forwarded struct {
	chain             []byte // of a trusted peer, joined
	proto, host, port string
}

func forwardedOf(x *Exchange) forwarded {
	f := forwarded{proto: x.Scheme, host: x.Host, port: portOfHost(x.Host, x.Scheme)}
	if !x.TrustedPeer {
		return f
	}
	h := &x.Request.Header
	if lines := h.PeekAll("X-Forwarded-For"); len(lines) > 0 {
		f.chain = bytes.Join(lines, []byte(", "))
	}
	f.proto = firstOf(h, "X-Forwarded-Proto", f.proto)
	f.host = firstOf(h, "X-Forwarded-Host", f.host)
	f.port = firstOf(h, "X-Forwarded-Port", portOfHost(f.host, f.proto))
	return f
}

func firstOf(h *fasthttp.RequestHeader, name, otherwise string) string {
	if value := h.Peek(name); len(value) > 0 {
		return string(value)
	}
	return otherwise
}

// portOfHost returns the port in a host, or the scheme's.
func portOfHost(host, scheme string) string {
	i := strings.LastIndexByte(host, ':')
	if i >= 0 && i < len(host)-1 && strings.IndexByte(host[i:], ']') < 0 {
		return host[i+1:]
	}
	if scheme == "https" {
		return "443"
	}
	return "80"
}

func (f forwarded) set(x *Exchange) {
	h := &x.Request.Header
	var stack [128]byte
	chain := append(stack[:0], f.chain...)
	if x.Peer.IsValid() {
		if len(chain) > 0 {
			chain = append(chain, ", "...)
		}
		chain = appendAddr(chain, x.Peer)
	}
	setClean(h, "X-Forwarded-For", chain)
	setClean(h, "X-Forwarded-Proto", []byte(f.proto))
	setClean(h, "X-Forwarded-Host", []byte(f.host))
	setClean(h, "X-Forwarded-Port", []byte(f.port))
	setClean(h, "X-Real-Ip", appendAddr(stack[:0], x.Client))
}

func appendAddr(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	return a.Unmap().WithZone("").AppendTo(b)
}

// isForwarding knows the names by which proxies tell whom they speak for.
func isForwarding(key []byte) bool {
	if bytes.HasPrefix(key, []byte("X-Forwarded-")) {
		return true
	}
	return string(key) == "X-Real-Ip" || string(key) == "Forwarded"
}

// keepForwarding spares what a trusted peer says beyond that which the gateway
// continues itself.
func keepForwarding(x *Exchange, key []byte) bool {
	switch string(key) {
	case "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-Ip", "Forwarded":
		return false
	}
	return x.TrustedPeer
}
