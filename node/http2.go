package node

import (
	"strings"

	"github.com/valyala/fasthttp"
)

// goAway is what a client gets that speaks HTTP/2 without asking (RFC 9113 §3.4):
// an empty SETTINGS frame and a GOAWAY with HTTP_1_1_REQUIRED, which its library
// turns into an error that says so.
const goAway = "\x00\x00\x00\x04\x00\x00\x00\x00\x00" +
	"\x00\x00\x1f\x07\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x0d" + "HTTP/1.1 is spoken here"

// isPreface reports whether fasthttp failed on the first line of HTTP/2. Its error
// quotes what it could not read, and is all there is of it.
func isPreface(cause error) bool {
	return strings.Contains(cause.Error(), `in "PRI * HTTP/2.0\r\n`)
}

// sendAway answers in the words of HTTP/2. It ends this side of the connection, so
// that the answer in those of HTTP/1.1, which fasthttp writes next, is not sent.
func sendAway(ctx *fasthttp.RequestCtx) {
	conn := clientOf(ctx.Conn())
	_, _ = conn.Write([]byte(goAway)) // the client is free to be gone
	_ = conn.CloseWrite()
}
