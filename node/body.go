package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/proxy"
)

const (
	// smallBody is up to where a request body is read before it is forwarded, so
	// that it can be sent again. fasthttp reads as much of a body of known length
	// ahead of the chain; nothing ever holds more of one.
	smallBody = 8 << 10
	// slowestBody is the rate, in bytes a second, below which a client that sends
	// now and then a byte is no longer waited for.
	slowestBody = 1 << 10
)

// bodySize returns what a request says of its body: its length, -1 for one whose
// end will show, 0 for none.
func bodySize(r *fasthttp.Request) int {
	if n := r.Header.ContentLength(); n >= -1 {
		return n
	}
	return 0 // a request has no body that ends with the connection
}

// leftUnread reports whether the client may still be sending the request's body.
func leftUnread(r *fasthttp.Request) bool {
	if u, ours := r.BodyStream().(*upload); ours {
		return !u.ended
	}
	return r.IsBodyStream() || r.MayContinue() && bodySize(r) != 0
}

// takeBody prepares the request's body for being forwarded: a small one is read,
// a larger one becomes a stream that bounds itself.
func (x *exchange) takeBody(ctx *fasthttp.RequestCtx, n *Node) error {
	r := &ctx.Request
	if !r.IsBodyStream() {
		if r.MayContinue() && bodySize(r) != 0 {
			return errExpectation // it was not asked for
		}
		return nil
	}
	size := bodySize(r)
	if 0 <= size && size <= smallBody {
		r.Body() // takes in what was read ahead
		return nil
	}
	u := &x.upload
	*u = upload{
		x: &x.out, from: r.BodyStream(), conn: x.conn, size: size, limit: int64(x.route.bodyLimit),
		pause: n.readTimeout, start: time.Now(), head: u.head[:0],
	}
	if x.route.stream {
		u.pause, u.anyRate = x.route.idle, true
	}
	return u.hand(r)
}

// upload is a request's body on its way. It bounds the body and how long its
// client may take, and says what went wrong in the chain's own words.
type upload struct {
	x       *proxy.Exchange
	from    io.Reader
	conn    *clientConn
	size    int   // -1: not known
	limit   int64 // of its bytes
	read    int64
	ended   bool
	pause   time.Duration // the longest a client may be silent
	anyRate bool          // however slowly it sends
	start   time.Time
	head    []byte // what was read to see whether the body is small
	given   int    // how much of it was read again
}

// hand gives the body to the request: as bytes if it is small, else as a stream.
func (u *upload) hand(r *fasthttp.Request) error {
	if u.size < 0 && !u.anyRate {
		whole, err := u.readAhead()
		if err != nil {
			return err
		}
		if whole {
			r.SetBody(u.head)
			return nil
		}
	}
	r.SetBodyStream(u, u.size)
	return nil
}

// readAhead reads up to smallBody. It returns true if that is all of the body.
func (u *upload) readAhead() (bool, error) {
	if cap(u.head) < smallBody {
		u.head = make([]byte, 0, smallBody)
	}
	for len(u.head) < smallBody {
		n, err := u.receive(u.head[len(u.head):smallBody])
		u.head = u.head[:len(u.head)+n]
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// Read returns what was read ahead, then what comes.
func (u *upload) Read(p []byte) (int, error) {
	if u.given < len(u.head) {
		n := copy(p, u.head[u.given:])
		u.given += n
		return n, nil
	}
	n, err := u.receive(p)
	if errors.Is(err, io.EOF) {
		u.x.PruneTrailers()
	}
	return n, err
}

// receive reads from the client.
func (u *upload) receive(p []byte) (int, error) {
	if u.ended {
		return 0, io.EOF
	}
	deadline := u.deadline()
	_ = u.conn.SetReadDeadline(deadline)
	n, err := u.from.Read(p)
	u.read += int64(n)
	switch {
	case u.read > u.limit:
		return 0, &proxy.BodyError{Err: errBodyTooLarge}
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && (u.size < 0 || u.read == int64(u.size)):
		u.ended = true
		return n, io.EOF
	case !time.Now().Before(deadline):
		return 0, &proxy.BodyError{Err: errSlowRequest}
	}
	return 0, &proxy.BodyError{Err: bodyFailure(err)}
}

func (u *upload) deadline() time.Time {
	pause := time.Now().Add(u.pause)
	if u.anyRate {
		return pause
	}
	slowest := u.start.Add(u.pause + time.Duration(u.read)*(time.Second/slowestBody))
	return earlier(pause, slowest)
}

// bodyFailure sorts what reading a body reports.
func bodyFailure(err error) error {
	var netErr net.Error
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		return errHeadersTooLarge // trailers are headers
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &netErr):
		return fmt.Errorf("the client went away: %w", context.Canceled)
	}
	return errMalformed
}
