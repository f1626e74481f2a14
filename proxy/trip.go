package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// outcome says how far one try came; what may be sent again follows from it.
type outcome uint8

const (
	answered  outcome = iota // a complete response
	refused                  // no connection, nothing was sent
	busy                     // all connections are taken, nothing was sent
	unsent                   // the connection broke before a byte was written
	broken                   // it broke before the first byte of the response
	malformed                // the response was not one, or ended early
	tooLarge                 // the response's body exceeds the limit
	timedOut                 // the deadline passed
	aborted                  // the caller went away
	outcomeCount
)

func (o outcome) String() string {
	return [outcomeCount]string{
		"answered", "refused", "busy", "unsent", "reset", "malformed", "too_large", "timeout", "aborted",
	}[o]
}

// tripResult is what one try brought.
type tripResult struct {
	outcome outcome
	status  int // if answered
	// stale says that the connection had served requests before and was closed
	// by the other side: that is no sign of a failing upstream.
	stale bool
	err   error
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

// roundTrip sends the request once and reads the response. With repeatable it
// may be sent again, so the look at an idle connection, a system call, is saved.
func (e *endpoint) roundTrip(x *Exchange, deadline time.Time, repeatable bool) tripResult {
	for {
		remaining := time.Until(deadline)
		if remaining <= 0 {
			return tripResult{outcome: timedOut, err: fasthttp.ErrTimeout}
		}
		pooled, err := e.client.AcquireConn(remaining, false)
		if err != nil {
			return notConnected(err, deadline)
		}
		c := pooled.Conn().(*conn)
		err = c.SetDeadline(deadline)
		if c.served && (err != nil || !repeatable && !c.alive()) {
			e.client.CloseConn(pooled)
			// Reuse is last in, first out: what is left has been idle longer.
			e.client.CloseIdleConnections()
			continue
		}
		result := e.talk(c, x)
		c.served = true
		if result.outcome == answered && !c.dirty && !x.Response.ConnectionClose() {
			e.client.ReleaseConn(pooled)
		} else {
			e.client.CloseConn(pooled)
		}
		return result
	}
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
func (e *endpoint) talk(c *conn, x *Exchange) tripResult {
	x.Response.Reset()
	x.Response.Header.SetNoDefaultContentType(true)
	x.Response.SkipBody = x.Request.Header.IsHead()
	c.wrote = false
	if err := e.write(c, x); err != nil {
		o := broken
		if !c.wrote {
			o = unsent
		}
		return interrupted(o, c, err)
	}
	reader := e.client.AcquireReader(c)
	defer e.client.ReleaseReader(reader)
	if _, err := reader.Peek(1); err != nil {
		return interrupted(broken, c, err)
	}
	if err := x.Response.ReadLimitBody(reader, maxResponseBody); err != nil {
		return unreadable(err)
	}
	c.dirty = reader.Buffered() > 0
	status := x.Response.StatusCode()
	if status < fasthttp.StatusOK {
		return tripResult{outcome: malformed, err: fmt.Errorf("unexpected status %d", status)}
	}
	return tripResult{outcome: answered, status: status}
}

func (e *endpoint) write(c *conn, x *Exchange) error {
	w := e.client.AcquireWriter(c)
	defer e.client.ReleaseWriter(w)
	if err := x.Request.Write(w); err != nil {
		return err
	}
	return w.Flush()
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
	switch {
	case isTimeout(err):
		return tripResult{outcome: timedOut, err: errors.New(text)}
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return tripResult{outcome: tooLarge, err: fmt.Errorf("response body exceeds %d bytes", maxResponseBody)}
	}
	return tripResult{outcome: malformed, err: errors.New(text)}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
