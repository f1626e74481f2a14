package harness

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Harm is what a relay does to a conversation.
type Harm int

const (
	Sound    Harm = iota
	Slow          // a part of the replies comes late
	Hang          // what is sent vanishes, connections stand
	MidReply      // a part of the replies breaks off in the middle, with the connection
)

const (
	replyDelay  = 40 * time.Millisecond // of a slow reply: four budgets
	relayBuffer = 64 << 10
)

// mischief is a fault and the part of the replies it befalls.
type mischief struct {
	harm  Harm
	share float64
}

// Relay carries TCP connections to a target, and harms them on request. Safe for
// concurrent use.
type Relay struct {
	Addr    string
	target  string
	allowed func() bool // to connect
	tb      testing.TB
	now     atomic.Pointer[mischief]
	lines   sync.WaitGroup

	mu    sync.Mutex // guards the rest
	ln    net.Listener
	conns map[net.Conn]struct{}
}

// NewRelay listens until the test ends.
func NewRelay(tb testing.TB, port int, target string, allowed func() bool) *Relay {
	tb.Helper()
	r := &Relay{tb: tb, Addr: Loopback(port), target: target, allowed: allowed, conns: map[net.Conn]struct{}{}}
	r.Play(Sound, 0)
	r.Open()
	tb.Cleanup(func() {
		r.Refuse()
		r.lines.Wait()
	})
	return r
}

// Play changes what befalls replies from now on.
func (r *Relay) Play(h Harm, share float64) { r.now.Store(&mischief{h, share}) }

// Open listens.
func (r *Relay) Open() {
	r.tb.Helper()
	ln, err := net.Listen("tcp", r.Addr)
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

// Refuse stops listening and breaks every connection.
func (r *Relay) Refuse() {
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
func (r *Relay) carry(client net.Conn) {
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
func (r *Relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		r.conns[c] = struct{}{}
	}
	return r.ln != nil
}

func (r *Relay) forget(conns ...net.Conn) {
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

func (r *Relay) ask(server io.Writer, chunk []byte) bool {
	if r.now.Load().harm == Hang {
		return true
	}
	_, err := server.Write(chunk)
	return err == nil
}

func (r *Relay) reply(client io.Writer, chunk []byte) bool {
	now := r.now.Load()
	hit := rand.Float64() < now.share
	switch {
	case now.harm == Hang:
		return true
	case now.harm == Slow && hit:
		time.Sleep(replyDelay)
	case now.harm == MidReply && hit:
		_, _ = client.Write(chunk[:len(chunk)/2]) // the connection ends either way
		return false
	}
	_, err := client.Write(chunk)
	return err == nil
}
