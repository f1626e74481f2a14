package faults

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// act is what an upstream does with a request that it has read and noted.
type act int32

const (
	answers     act = iota
	resetsMid       // half an answer, then a reset
	garbles         // something that is not HTTP
	dawdles         // an answer later than the route waits
	halfCloses      // an answer, then no more: the connection stands, its sending half is shut
	halfCloseNo     // the sending half is shut instead of an answer
)

const (
	workTime   = 15 * time.Millisecond // of a request, so that some are always under way
	dawdleTime = 3 * time.Second       // three times what the route waits
	flaps      = 6                     // times an upstream that flaps goes and comes
)

// upstream is one backend, a server on raw connections that can misbehave on
// every level. Safe for concurrent use.
type upstream struct {
	addr    string
	tb      testing.TB
	ledger  *ledger
	act     atomic.Int32
	running sync.WaitGroup

	mu    sync.Mutex // guards the rest
	ln    net.Listener
	conns map[net.Conn]struct{}
}

// ledger is what all upstreams of a stage were asked.
type ledger struct {
	clock clock
	mu    sync.Mutex
	hits  []hit
}

func (l *ledger) note(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hits = append(l.hits, hit{id, l.clock.now()})
}

// take returns the hits since the last call.
func (l *ledger) take() []hit {
	l.mu.Lock()
	defer l.mu.Unlock()
	hits := l.hits
	l.hits = nil
	return hits
}

// newUpstream serves until the test ends.
func newUpstream(tb testing.TB, addr string, l *ledger) *upstream {
	tb.Helper()
	u := &upstream{tb: tb, addr: addr, ledger: l, conns: map[net.Conn]struct{}{}}
	u.open()
	tb.Cleanup(func() {
		u.refuse()
		u.running.Wait()
	})
	return u
}

func (u *upstream) play(a act) { u.act.Store(int32(a)) }

// open accepts connections.
func (u *upstream) open() {
	u.tb.Helper()
	ln, err := net.Listen("tcp", u.addr)
	if err != nil {
		u.tb.Errorf("cannot open an upstream: %v", err)
		return
	}
	u.mu.Lock()
	u.ln = ln
	u.mu.Unlock()
	u.running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return // closed
			}
			u.running.Go(func() { u.serve(c) })
		}
	})
}

// refuse closes the port and every connection.
func (u *upstream) refuse() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ln == nil {
		return
	}
	u.ln.Close()
	u.ln = nil
	for c := range u.conns {
		c.Close()
	}
}

// serve answers the requests of one connection.
func (u *upstream) serve(c net.Conn) {
	defer c.Close()
	if !u.keep(c) {
		return
	}
	defer u.forget(c)
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		id := req.Header.Get("X-Request-ID")
		u.ledger.note(id)
		if !u.perform(c, id) {
			return
		}
	}
}

// perform answers, in its way, and reports whether the connection goes on.
func (u *upstream) perform(c net.Conn, id string) bool {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
	time.Sleep(workTime)
	switch act(u.act.Load()) {
	case resetsMid:
		fmt.Fprintf(c, head, 10_000, id)
		_ = c.(*net.TCPConn).SetLinger(0) // without it Close would say goodbye
		return false
	case garbles:
		fmt.Fprint(c, "\x16\x03\x01 this is not the protocol you are looking for\r\n\r\n")
		return false
	case halfCloses:
		fmt.Fprintf(c, head, len(id), id)
		return u.hush(c)
	case halfCloseNo:
		return u.hush(c)
	case dawdles:
		time.Sleep(dawdleTime)
	}
	_, err := fmt.Fprintf(c, head, len(id), id)
	return err == nil
}

// hush shuts the sending half of a connection and takes what still comes, for as
// long as the other end lets it stand.
func (u *upstream) hush(c net.Conn) bool {
	_ = c.(*net.TCPConn).CloseWrite() // gone already: as well
	_ = c.SetReadDeadline(time.Now().Add(dawdleTime))
	_, _ = io.Copy(io.Discard, c)
	return false
}

// keep notes a connection that refuse must close; it is false once it has.
func (u *upstream) keep(c net.Conn) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.conns[c] = struct{}{}
	return u.ln != nil
}

func (u *upstream) forget(c net.Conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.conns, c)
}

// flap takes the first upstream away and gives it back, each second.
func flap(st *stage) {
	for range flaps {
		st.upstreams[0].refuse()
		time.Sleep(second / 2)
		st.upstreams[0].open()
		time.Sleep(second / 2)
	}
}
