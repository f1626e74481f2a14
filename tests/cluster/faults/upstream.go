package faults

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const numberHeader = "X-Number"

// mischief is what an upstream does with a request.
type mischief int32

const (
	wellBehaved  mischief = iota
	breaksOff             // half of an answer, then a reset
	talksRubbish          // no HTTP
	dawdles               // no answer for longer than the gateway waits
	halfCloses            // ends its side of the connection without an answer
)

const dawdle = 3 * time.Second

// upstream is one endpoint of the routes' service. It writes down what arrives
// before anything else happens to it.
type upstream struct {
	addr   string
	tb     testing.TB
	ledger *ledger
	now    atomic.Int32
	closed chan struct{} // when the test ends

	mu     sync.Mutex // guards server
	server *http.Server
}

// newUpstream serves until the test ends.
func newUpstream(tb testing.TB, port int, l *ledger) *upstream {
	tb.Helper()
	u := &upstream{tb: tb, addr: "127.0.0.1:" + strconv.Itoa(port), ledger: l, closed: make(chan struct{})}
	u.open()
	tb.Cleanup(func() {
		close(u.closed)
		u.refuse()
	})
	return u
}

func (u *upstream) play(m mischief) { u.now.Store(int32(m)) }

// open listens. A port that was just closed may take a moment.
func (u *upstream) open() {
	u.tb.Helper()
	ln, err := net.Listen("tcp", u.addr)
	if err != nil {
		u.tb.Errorf("cannot listen for an upstream: %v", err)
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.server = &http.Server{Handler: u}
	go func(s *http.Server) { _ = s.Serve(ln) }(u.server) // ends when closed
}

// refuse stops listening and breaks every connection.
func (u *upstream) refuse() {
	u.mu.Lock()
	defer u.mu.Unlock()
	_ = u.server.Close()
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if number := r.Header.Get(numberHeader); number != "" {
		u.ledger.note(number)
	}
	_, _ = io.Copy(io.Discard, r.Body) // what is wrong with it shows in the answer
	switch mischief(u.now.Load()) {
	case breaksOff:
		u.raw(w, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf", reset)
	case talksRubbish:
		u.raw(w, "\x00\xff garbage\r\n\r\n", (*net.TCPConn).Close)
	case halfCloses:
		u.raw(w, "", func(c *net.TCPConn) error {
			_ = c.CloseWrite()
			_ = c.SetReadDeadline(time.Now().Add(dawdle))
			_, _ = io.Copy(io.Discard, c)
			return c.Close()
		})
	case dawdles:
		select {
		case <-time.After(dawdle):
		case <-r.Context().Done():
		case <-u.closed:
		}
		_, _ = io.WriteString(w, "late")
	default:
		_, _ = io.WriteString(w, "ok")
	}
}

// raw answers below HTTP and ends the connection in its own way.
func (u *upstream) raw(w http.ResponseWriter, answer string, end func(*net.TCPConn) error) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return // closed meanwhile
	}
	_, _ = io.WriteString(conn, answer)
	_ = end(conn.(*net.TCPConn))
}

func reset(c *net.TCPConn) error {
	_ = c.SetLinger(0)
	return c.Close()
}
