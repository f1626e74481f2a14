package cluster

import (
	"io"
	"net"
	"sync"
	"testing"
)

// One node loses Redis: the others hear of it and leave it its share, and take it
// back when it has returned.
func TestOthersMakeRoomForANodeWithoutRedis(t *testing.T) {
	c := newTrio(t)
	cable := lay(t, c.redis.Addr())
	c.startAll(c.redis.Addr(), c.redis.Addr(), cable.Addr().String())
	others, lost := c.nodes[:2], c.nodes[2]
	away := func(n string) func() bool {
		return func() bool {
			for _, m := range others {
				c.get(m, "/limited")
				if c.metric(m, "gateway_limiter_away_members") != n {
					return false
				}
			}
			return true
		}
	}
	c.eventually("Redis being used by all", func() bool {
		return away("0")() && c.metric(lost, `gateway_limiter_mode{mode="redis"}`) == "1"
	})

	cable.pull()
	c.eventually("room for one at the others", func() bool {
		c.get(lost, "/limited")
		return away("1")()
	})
	if mode := c.metric(others[0], `gateway_limiter_mode{mode="redis"}`); mode != "1" {
		t.Errorf("a node that has Redis is not in redis mode: %q", mode)
	}

	cable.plug()
	c.eventually("nobody away", away("0"))
}

// cable carries TCP to one address, until it is pulled.
type cable struct {
	net.Listener

	mu     sync.Mutex // guards the fields below
	pulled bool
	conns  []net.Conn
}

func lay(t *testing.T, to string) *cable {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{Listener: ln}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			carrying.Go(func() { c.carry(in, to) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		c.pull()
		carrying.Wait()
	})
	return c
}

func (c *cable) carry(in net.Conn, to string) {
	defer in.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	if !c.hold(in, out) {
		return
	}
	go func() {
		_, _ = io.Copy(out, in) // ends when either side closes
		_ = out.Close()
	}()
	_, _ = io.Copy(in, out)
}

// hold reports whether the cable is plugged in.
func (c *cable) hold(conns ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conns...)
	return !c.pulled
}

func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulled = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

func (c *cable) plug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulled = false
}
