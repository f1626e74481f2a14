package accuracy

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fault is what a relay does to a conversation.
type fault int

const (
	faultNone     fault = iota
	faultSlow           // a part of the replies comes late
	faultHang           // what is sent vanishes, connections stand
	faultMidReply       // a part of the replies breaks off in the middle, with the connection
)

const (
	replyDelay  = 40 * time.Millisecond // of a slow reply: four budgets
	relayBuffer = 64 << 10
)

// mischief is a fault and the part of the replies it befalls.
type mischief struct {
	fault fault
	share float64
}

// relay carries TCP connections to a target, and harms them on request. Safe for
// concurrent use.
type relay struct {
	addr    string
	target  string
	allowed func() bool // to connect
	tb      testing.TB
	now     atomic.Pointer[mischief]
	lines   sync.WaitGroup

	mu    sync.Mutex // guards the rest
	ln    net.Listener
	conns map[net.Conn]struct{}
}

// newRelay listens until the test ends.
func newRelay(tb testing.TB, port int, target string, allowed func() bool) *relay {
	tb.Helper()
	r := &relay{tb: tb, addr: loopback(port), target: target, allowed: allowed, conns: map[net.Conn]struct{}{}}
	r.play(faultNone, 0)
	r.open()
	tb.Cleanup(func() {
		r.refuse()
		r.lines.Wait()
	})
	return r
}

// play changes what befalls replies from now on.
func (r *relay) play(f fault, share float64) { r.now.Store(&mischief{f, share}) }

// open listens.
func (r *relay) open() {
	r.tb.Helper()
	ln, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.tb.Fatalf("cannot listen for a relay: %v", err)
	}
	r.mu.Lock()
	r.ln = ln
	r.mu.Unlock()
	r.lines.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return // closed
			}
			r.lines.Go(func() { r.carry(client) })
		}
	})
}

// refuse stops listening and breaks every connection.
func (r *relay) refuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ln == nil {
		return
	}
	r.ln.Close()
	r.ln = nil
	for c := range r.conns {
		c.Close()
	}
}

// carry joins one client to the target until either end closes.
func (r *relay) carry(client net.Conn) {
	defer client.Close()
	if !r.allowed() {
		return
	}
	server, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !r.keep(client, server) {
		return
	}
	defer r.forget(client, server)
	r.lines.Go(func() {
		pass(client, server, func(chunk []byte) bool { return r.ask(server, chunk) })
	})
	pass(server, client, func(chunk []byte) bool { return r.reply(client, chunk) })
}

// keep notes connections that refuse must break; it is false once it has.
func (r *relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		r.conns[c] = struct{}{}
	}
	return r.ln != nil
}

func (r *relay) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.conns, c)
	}
}

// pass hands what comes from one end to deliver until that says no; then it
// closes both ends, which ends the other direction too.
func pass(from, to net.Conn, deliver func([]byte) bool) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, relayBuffer)
	for {
		n, err := from.Read(buf)
		if n > 0 && !deliver(buf[:n]) || err != nil {
			return
		}
	}
}

func (r *relay) ask(server io.Writer, chunk []byte) bool {
	if r.now.Load().fault == faultHang {
		return true
	}
	_, err := server.Write(chunk)
	return err == nil
}

func (r *relay) reply(client io.Writer, chunk []byte) bool {
	harm := r.now.Load()
	hit := rand.Float64() < harm.share
	switch {
	case harm.fault == faultHang:
		return true
	case harm.fault == faultSlow && hit:
		time.Sleep(replyDelay)
	case harm.fault == faultMidReply && hit:
		_, _ = client.Write(chunk[:len(chunk)/2]) // the connection ends either way
		return false
	}
	_, err := client.Write(chunk)
	return err == nil
}
