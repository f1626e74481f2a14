package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// tunnelPiece is what a tunnel holds in memory for each direction.
const tunnelPiece = 4 << 10

// WantsWebSocket reports whether a client asks to leave HTTP for a WebSocket
// (RFC 6455 §4.1). Other protocols are not tunnelled: asking for one is ignored,
// as RFC 9110 §7.8 allows.
func WantsWebSocket(r *fasthttp.Request) bool {
	h := &r.Header
	if !h.IsGet() || !h.IsHTTP11() || h.ConnectionClose() || r.IsBodyStream() || h.ContentLength() > 0 {
		return false
	}
	if !bytes.EqualFold(h.Peek("Upgrade"), []byte("websocket")) {
		return false
	}
	for _, value := range h.PeekAll("Connection") {
		for token := range bytes.SplitSeq(value, []byte(",")) {
			if bytes.EqualFold(bytes.TrimSpace(token), []byte("upgrade")) {
				return true
			}
		}
	}
	return false
}

// headerSetter is a request's or a response's header.
type headerSetter interface{ Set(name, value string) }

// setUpgrade says what hop-by-hop cleaning has just taken away.
func setUpgrade(h headerSetter) {
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", "websocket")
}

// Tunnel is a WebSocket's two connections. Bytes pass both ways unread, but for
// where the upstream's frames end: there the gateway can say goodbye when it
// stops. Whoever has a Tunnel calls Run once, or Close.
type Tunnel struct {
	tunnels  *tunnels
	upstream *conn
	reader   *bufio.Reader
	idle     time.Duration
	release  func() // once

	last     atomic.Int64 // when a byte passed, in Unix nanoseconds
	received atomic.Int64
	sent     atomic.Int64
	cut      atomic.Bool

	mu      sync.Mutex // guards what is written to the client
	client  net.Conn
	frames  frames // of the upstream
	leaving bool   // say goodbye once a frame has ended
	left    bool   // said it: nothing may follow
}

// Run passes bytes between the client and the upstream until both have ended,
// one has failed, neither said anything for idle_timeout_ms, or the gateway
// stops. An end of one direction is passed on, and the other goes on. The
// client's connection is left to the caller to close.
func (t *Tunnel) Run(client net.Conn) {
	defer t.Close()
	t.client = client
	if !t.tunnels.add(t) {
		return
	}
	defer t.tunnels.remove(t)
	t.last.Store(time.Now().UnixNano())
	_ = t.upstream.SetDeadline(time.Time{})
	var up sync.WaitGroup
	up.Go(func() {
		if t.pass(client, client, t.writeUpstream, &t.received) {
			closeWrite(t.upstream.Conn)
		} else {
			t.interrupt()
		}
	})
	if t.pass(t.reader, t.upstream, t.writeClient, &t.sent) {
		closeWrite(client)
	} else {
		t.interrupt()
	}
	up.Wait()
}

// Passed returns how many bytes the client sent and how many it was sent.
func (t *Tunnel) Passed() (received, sent int64) { return t.received.Load(), t.sent.Load() }

// Close gives up the upstream's connection. Closing again does nothing.
func (t *Tunnel) Close() { t.release() }

// pass copies one direction. It returns true at its proper end.
func (t *Tunnel) pass(from io.Reader, on net.Conn, write func([]byte) error, count *atomic.Int64) bool {
	piece := make([]byte, tunnelPiece)
	for {
		if t.cut.Load() || on.SetReadDeadline(time.Unix(0, t.last.Load()).Add(t.idle)) != nil {
			return false
		}
		n, err := from.Read(piece)
		if n > 0 {
			t.last.Store(time.Now().UnixNano())
			count.Add(int64(n))
			if write(piece[:n]) != nil {
				return false
			}
		}
		switch {
		case err == nil:
		case isTimeout(err) && time.Since(time.Unix(0, t.last.Load())) < t.idle:
			// The other direction is in use.
		default:
			return errors.Is(err, io.EOF)
		}
	}
}

// interrupt ends both directions.
func (t *Tunnel) interrupt() {
	t.cut.Store(true)
	past := time.Unix(1, 0)
	_ = t.upstream.SetDeadline(past)
	_ = t.client.SetDeadline(past)
}

func (t *Tunnel) writeUpstream(b []byte) error {
	_ = t.upstream.SetWriteDeadline(time.Now().Add(t.idle))
	_, err := t.upstream.Write(b)
	return err
}

// writeClient passes on what the upstream sent, up to the goodbye.
func (t *Tunnel) writeClient(b []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(b) > 0 && !t.left {
		n := t.frames.next(b)
		whole := b[:n]
		if !t.leaving { // then the frames need not be told apart
			for n < len(b) {
				n += t.frames.next(b[n:])
			}
			whole = b
		}
		if err := t.tellLocked(whole); err != nil {
			return err
		}
		b = b[n:]
		if err := t.sayGoodbyeLocked(); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tunnel) tellLocked(b []byte) error {
	_ = t.client.SetWriteDeadline(time.Now().Add(t.idle))
	_, err := t.client.Write(b)
	return err
}

func (t *Tunnel) sayGoodbyeLocked() error {
	if !t.leaving || t.left || !t.frames.between() {
		return nil
	}
	t.left = true
	return t.tellLocked([]byte(goodbye))
}

// leave asks the client to end the tunnel. Its answer is passed on to the
// upstream, which then ends its side.
func (t *Tunnel) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leaving = true
	_ = t.sayGoodbyeLocked() // a client that is gone needs none
}

// closeWrite tells the other side that no more will come; net.Conn does not, but
// both kinds of connections can. A hijacked one hides what it is.
func closeWrite(c net.Conn) {
	if hidden, ok := c.(interface{ UnsafeConn() net.Conn }); ok {
		c = hidden.UnsafeConn()
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
