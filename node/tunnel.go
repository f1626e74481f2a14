package node

import (
	"bufio"
	"net"

	"github.com/valyala/fasthttp"
)

// tunnel hands the client's connection to the WebSocket that the upstream agreed
// to, once the 101 is out. If it never gets so far, because the client has gone or
// the server stops, the connection's end gives up the upstream's.
func (n *Node) tunnel(ctx *fasthttp.RequestCtx, x *exchange) {
	n.takeOver(ctx, x, x.out.Tunnel.Close, x.out.Tunnel.Run)
}

// answerUnchunked answers a client of HTTP/1.0, which knows no chunks, with a body
// whose length shows only at its end: it ends with the connection.
func (n *Node) answerUnchunked(ctx *fasthttp.RequestCtx, x *exchange) {
	resp := &ctx.Response
	resp.Header.Del("Transfer-Encoding")
	resp.Header.SetContentLength(-2) // fasthttp's word for it
	ctx.HijackSetNoResponse(true)
	giveUp := func() { _ = resp.CloseBodyStream() }
	n.takeOver(ctx, x, giveUp, func(client net.Conn) {
		defer giveUp()
		w := bufio.NewWriter(clientOf(ctx.Conn()))
		if resp.Header.Write(w) == nil && resp.BodyWriteTo(w) == nil {
			_ = w.Flush() // the client is free to be gone
		}
	})
}

// takeOver has use do the rest on the client's connection, or giveUp if it never
// gets so far.
func (n *Node) takeOver(ctx *fasthttp.RequestCtx, x *exchange, giveUp func(), use func(client net.Conn)) {
	conn := x.conn // x may be over when it is hijacked
	conn.unlessTaken(func() {
		giveUp()
		n.conclude(x)
	})
	ctx.Hijack(func(client net.Conn) {
		if conn.takeOver() != nil {
			use(client)
		}
	})
}
