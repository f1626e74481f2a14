package proxy

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// outcome says how far one try came; what may be sent again follows from it.
type outcome uint8

const (
	answered  outcome = iota // a response; its body may still be to come
	refused                  // no connection, nothing was sent
	busy                     // all connections are taken, nothing was sent
	unsent                   // the connection broke before a byte was written
	broken                   // it broke before the first byte of the response
	malformed                // the response was not one, or ended early
	unread                   // the client's body could not be read
	timedOut                 // the deadline passed
	aborted                  // the caller went away
	outcomeCount
)

func (o outcome) String() string {
	return [outcomeCount]string{
		"answered", "refused", "busy", "unsent", "reset", "malformed", "unread", "timeout", "aborted",
	}[o]
}

// tripResult is what one try brought.
type tripResult struct {
	outcome outcome
	status  int // if answered
	// stale says that the connection had served requests before and was closed
	// by the other side: that is no sign of a failing upstream.
	stale bool
	// open says that the connection is still in use: by a body or a tunnel.
	open bool
	err  error
}

// overloaded reports an answer that says: not now, try elsewhere.
func (r tripResult) overloaded() bool {
	return r.outcome == answered &&
		(r.status == fasthttp.StatusBadGateway || r.status == fasthttp.StatusServiceUnavailable ||
			r.status == fasthttp.StatusGatewayTimeout)
}

// verdict is what the breaker learns.
func (r tripResult) verdict() verdict {
	switch r.outcome {
	case answered:
		if r.overloaded() {
			return failure
		}
		return success
	case refused, malformed, timedOut:
		return failure
	case unsent, broken:
		if !r.stale {
			return failure
		}
	}
	return neutral
}

// roundTrip sends the request once and reads the response. The connection
// stays with the response if its body is streamed, and with the tunnel if there is
// one.
func (e *endpoint) roundTrip(x *Exchange, deadline time.Time) tripResult {
	for remaining := time.Until(deadline); remaining > 0; remaining = time.Until(deadline) {
		pooled, err := e.client.AcquireConn(remaining, false)
		if err != nil {
			return notConnected(err, deadline)
		}
		c := pooled.Conn().(*conn)
		c.asks = !c.secure && !x.Request.IsBodyStream()
		if !c.ready(deadline) {
			e.client.CloseConn(pooled)
			// Reuse is last in, first out: what is left has been idle longer.
			e.client.CloseIdleConnections()
			continue
		}
		if !x.attach(c) {
			e.client.CloseConn(pooled)
			return tripResult{outcome: aborted, err: context.Canceled}
		}
		reader := e.client.AcquireReader(c)
		result := e.talk(c, reader, x, deadline)
		c.served = true
		if result.open {
			e.lend(c, reader, x, func(reuse bool) {
				if e.client.ReleaseReader(reader); reuse {
					e.client.ReleaseConn(pooled)
				} else {
					e.client.CloseConn(pooled)
				}
			})
			return result
		}
		if e.finish(c, reader, x, result) {
			e.client.ReleaseConn(pooled)
			return result
		}
		e.client.CloseConn(pooled)
		if !errors.Is(result.err, errNotIdle) {
			return result
		}
		e.client.CloseIdleConnections()
	}
	return tripResult{outcome: timedOut, err: fasthttp.ErrTimeout}
}

// ready prepares a connection for a request. It returns false if it served others
// before and has gone since, or said more, as far as is seen. A request that may
// be sent again is not spared the look: what the upstream said unasked would be
// taken for the answer. One that asks looks as it is written.
func (c *conn) ready(deadline time.Time) bool {
	err := c.SetDeadline(deadline)
	return !c.served || err == nil && (c.asks || c.alive() && !c.holdsMore(deadline))
}

// finish takes leave of a connection that was read to the end of the answer. It
// returns true if another request can use it.
func (e *endpoint) finish(c *conn, reader *bufio.Reader, x *Exchange, result tripResult) bool {
	c.dirty = c.dirty || reader.Buffered() > 0
	e.client.ReleaseReader(reader)
	return x.detach() && result.endsWell(c, x)
}

// endsWell reports whether the connection can serve another request.
func (r tripResult) endsWell(c *conn, x *Exchange) bool {
	return r.outcome == answered && !c.dirty && !x.Response.ConnectionClose()
}

// lend gives the connection to the tunnel or to the response's body.
func (e *endpoint) lend(c *conn, reader *bufio.Reader, x *Exchange, release func(reuse bool)) {
	giveBack := func(reuse bool) {
		release(reuse)
		e.gate.leave()
	}
	if x.Response.StatusCode() == fasthttp.StatusSwitchingProtocols {
		x.Tunnel = &Tunnel{
			tunnels: e.target.b.tunnels, upstream: c, reader: reader, idle: x.idle,
			release: sync.OnceFunc(func() { giveBack(false) }),
		}
		x.detach() // from now on the tunnel ends with its client
		return
	}
	newDownload(c, reader, x, giveBack)
}

func notConnected(err error, deadline time.Time) tripResult {
	o := refused
	switch {
	case errors.Is(err, fasthttp.ErrNoFreeConns), errors.Is(err, fasthttp.ErrTimeout):
		// The pool's own errors; those of dial are of other kinds.
		o = busy
	case time.Until(deadline) <= 0:
		o = timedOut
	}
	return tripResult{outcome: o, err: err}
}

// talk writes the request to c and reads the response from it.
func (e *endpoint) talk(c *conn, reader *bufio.Reader, x *Exchange, deadline time.Time) tripResult {
	x.Response.Reset()
	x.Response.Header.SetNoDefaultContentType(true)
	x.Response.SkipBody = x.Request.Header.IsHead()
	c.wrote, c.last = false, false
	var err error
	if x.Request.IsBodyStream() {
		err = e.upload(c, x, deadline)
	} else {
		err = e.write(c, x)
	}
	if failed, ok := errors.AsType[*BodyError](err); ok {
		return tripResult{outcome: unread, err: failed}
	}
	if err != nil && !c.dirty {
		o := broken
		if !c.wrote {
			o = unsent
		}
		return interrupted(o, c, err)
	}
	if _, failure := reader.Peek(1); failure != nil {
		return interrupted(broken, c, cmp.Or(err, failure))
	}
	return receive(reader, x)
}

func (e *endpoint) write(c *conn, x *Exchange) error {
	w := e.client.AcquireWriter(c)
	defer e.client.ReleaseWriter(w)
	if err := x.Request.Write(w); err != nil {
		return err
	}
	c.last = true
	return w.Flush()
}

// upload writes a request whose body is streamed. The deadline stands still
// meanwhile: how long a body may take is for its pace to say. If the upstream
// stops reading before the end, c is dirty and an answer may wait to be read.
func (e *endpoint) upload(c *conn, x *Exchange, deadline time.Time) error {
	began := time.Now()
	c.pace = x.idle
	err := e.write(c, x)
	c.pace = 0
	c.dirty = err != nil && c.wrote && !isTimeout(err)
	if failure := c.SetDeadline(deadline.Add(time.Since(began))); failure != nil {
		return cmp.Or(err, failure)
	}
	return err
}

// interrupted is a connection that failed before the response began.
func interrupted(o outcome, c *conn, err error) tripResult {
	if isTimeout(err) {
		return tripResult{outcome: timedOut, err: err}
	}
	stale := c.served && (errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
	return tripResult{outcome: o, stale: stale, err: err}
}

func unreadable(err error) tripResult {
	// The parser's error quotes the header block, which may hold secrets.
	text, _, _ := strings.Cut(err.Error(), ", contents:")
	if isTimeout(err) {
		return tripResult{outcome: timedOut, err: errors.New(text)}
	}
	return tripResult{outcome: malformed, err: errors.New(text)}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
