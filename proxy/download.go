package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/valyala/fasthttp"
)

const (
	// wholeBody is up to where a response of known length is read whole: it is
	// then either complete or an error, and costs no more than its bytes.
	wholeBody = 64 << 10
	// pieceSize is how much of a streamed body is in memory at once.
	pieceSize = 32 << 10
	// maxInterim bounds the 1xx responses before the final one.
	maxInterim = 16
)

// receive reads a response, or its head if its body is to be streamed.
func receive(r *bufio.Reader, x *Exchange) tripResult {
	if err := readFinalHead(&x.Response.Header, r); err != nil {
		return unreadable(err)
	}
	status := x.Response.StatusCode()
	result := tripResult{outcome: answered, status: status}
	switch {
	case status == fasthttp.StatusSwitchingProtocols && x.Upgrade:
		result.open = true
	case status < fasthttp.StatusOK:
		return tripResult{outcome: malformed, err: fmt.Errorf("unexpected status %d", status)}
	case x.Response.SkipBody, status == fasthttp.StatusNoContent, status == fasthttp.StatusNotModified:
	case !isWhole(x.Response.Header.ContentLength(), r):
		result.open = true
	default:
		if err := readWhole(x.Response, r); err != nil {
			return unreadable(err)
		}
	}
	return result
}

// readFinalHead reads up to the final response. Interim ones are not passed on;
// after a 101 there is no other.
func readFinalHead(h *fasthttp.ResponseHeader, r *bufio.Reader) error {
	for range maxInterim {
		if err := h.Read(r); err != nil {
			return err
		}
		if status := h.StatusCode(); status >= fasthttp.StatusOK || status == fasthttp.StatusSwitchingProtocols {
			return nil
		}
	}
	return errors.New("no final response after many interim ones")
}

// isWhole decides whether a body is read at once: if it is small, or here
// already. What waits for the upstream otherwise is passed on as it comes.
func isWhole(size int, r *bufio.Reader) bool {
	if size >= 0 {
		return size <= wholeBody
	}
	if size != -1 {
		return false // ends with the connection
	}
	b, _ := r.Peek(r.Buffered()) // never waits
	return wholeChunks(b)
}

// wholeChunks reports whether reading a chunked body that begins with b needs no
// more than b, because it ends there or is malformed.
func wholeChunks(b []byte) bool {
	for {
		line, rest, ok := bytes.Cut(b, []byte("\r\n"))
		if !ok {
			return false
		}
		size, ok := chunkSize(line)
		switch {
		case !ok:
			return true
		case size == 0:
			return bytes.HasPrefix(rest, []byte("\r\n")) || bytes.Contains(rest, []byte("\r\n\r\n"))
		case len(rest) < size+2:
			return false
		}
		b = rest[size+2:]
	}
}

// chunkSize reads the hexadecimal number at the start of a chunk. Larger ones
// than any buffer need not be told apart.
func chunkSize(line []byte) (int, bool) {
	digits, _, _ := bytes.Cut(line, []byte(";"))
	digits = bytes.TrimRight(digits, " \t")
	size := 0
	for _, c := range digits {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		size = min(size<<4|int(c), 1<<24)
	}
	return size, len(digits) > 0
}

func readWhole(resp *fasthttp.Response, r *bufio.Reader) error {
	chunked := resp.Header.ContentLength() == -1
	if err := resp.ReadBody(r, 0); err != nil {
		return err
	}
	if chunked {
		return resp.Header.ReadTrailer(r)
	}
	return nil
}

// download is the body of a response on its way. Whoever reads it is the client:
// the upstream is asked for more only when the last piece has been taken, so one
// piece of it is in memory. It owns the connection until it is closed.
type download struct {
	x       *Exchange
	conn    *conn
	reader  *bufio.Reader
	parsed  *fasthttp.Response // its stream knows the body's framing
	release func(reuse bool)
	ended   bool
}

// newDownload makes the rest of the response on c the body stream of x.Response.
func newDownload(c *conn, r *bufio.Reader, x *Exchange, release func(reuse bool)) {
	parsed := fasthttp.AcquireResponse()
	x.Response.Header.CopyTo(&parsed.Header)
	parsed.StreamBody = true
	_ = parsed.ReadBody(r, 0) // only makes the stream
	c.pace = x.idle
	size := max(x.Response.Header.ContentLength(), -1)
	x.Response.SetBodyStream(&download{x: x, conn: c, reader: r, parsed: parsed, release: release}, size)
	x.Response.ImmediateHeaderFlush = true // the body may be long in coming, or never come
}

// Read returns what there is, without waiting for p to be full.
func (d *download) Read(p []byte) (int, error) {
	n, err := d.parsed.BodyStream().Read(p)
	d.x.Passed += int64(n)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		d.ended = true
		d.passTrailers()
	case d.x.aborted():
		err = context.Canceled
	default:
		d.x.Broken = fmt.Errorf("response broke off: %w", err)
	}
	return n, err
}

// SupportsBodyWriteTo says that WriteTo does what reading does.
func (d *download) SupportsBodyWriteTo() bool { return true }

// WriteTo writes the body in larger pieces than fasthttp would.
func (d *download) WriteTo(w io.Writer) (int64, error) {
	piece := pieces.Get().(*[pieceSize]byte)
	defer pieces.Put(piece)
	written := int64(0)
	for {
		n, err := d.Read(piece[:])
		if n > 0 {
			k, failure := w.Write(piece[:n])
			written += int64(k)
			if failure != nil {
				return written, failure
			}
		}
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
	}
}

//nolint:gochecknoglobals // a pool is shared by nature and holds no state
var pieces = sync.Pool{New: func() any { return new([pieceSize]byte) }}

// passTrailers hands on the fields that came after the body.
func (d *download) passTrailers() {
	from, to := &d.parsed.Header, &d.x.Response.Header
	for _, key := range from.PeekTrailerKeys() {
		if to.AddTrailerBytes(key) != nil {
			continue // may not be one
		}
		for _, value := range from.PeekAll(string(key)) {
			to.AddBytesKV(key, value)
		}
	}
}

// Close gives the connection back: to the next request if the body was read to
// its end, else nobody.
func (d *download) Close() error {
	d.conn.pace = 0
	reuse := d.ended && d.reader.Buffered() == 0 && !d.conn.dirty && !d.parsed.ConnectionClose()
	reuse = d.x.detach() && reuse
	err := d.parsed.CloseBodyStream()
	fasthttp.ReleaseResponse(d.parsed)
	d.release(reuse)
	return err
}
