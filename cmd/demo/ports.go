package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
)

const loopback = "127.0.0.1"

// addresses are where everything listens, each as host:port.
type addresses struct {
	front, redis, users, public string

	nodes []nodeAddresses
}

type nodeAddresses struct{ data, admin, gossip string }

// plan opens every port that the demo needs, so that all that are taken are
// named together and each 0 becomes a free one, and closes them again.
func (o options) plan() (addresses, error) {
	var c claims
	defer c.release()
	a := addresses{
		front:  c.tcp("port", o.port, 0),
		redis:  c.tcp("redis-port", o.redisPort, 0),
		users:  c.tcp("upstream-port", o.upstreamPort, 0),
		public: c.tcp("upstream-port", o.upstreamPort, 1),
	}
	for i := range o.nodes {
		a.nodes = append(a.nodes, nodeAddresses{
			data:   c.tcp("node-port", o.nodePort, i),
			admin:  c.tcp("admin-port", o.adminPort, i),
			gossip: c.both("gossip-port", o.gossipPort, i),
		})
	}
	return a, errors.Join(c.errs...)
}

// claims holds ports open until all are known to be free.
type claims struct {
	held []io.Closer
	errs []error
}

func (c *claims) release() {
	for _, l := range c.held {
		_ = l.Close() // it was only a trial
	}
}

// tcp claims the i-th port from first on, or a free one if first is 0.
func (c *claims) tcp(flag string, first, i int) string {
	at := address(first, i)
	l, err := net.Listen("tcp", at)
	if err != nil {
		c.refuse(flag, at, err)
		return at
	}
	c.held = append(c.held, l)
	return l.Addr().String()
}

// both claims the same port for TCP and UDP.
func (c *claims) both(flag string, first, i int) string {
	at := c.tcp(flag, first, i)
	l, err := net.ListenPacket("udp", at)
	if err != nil {
		c.refuse(flag, at+" (UDP)", err)
		return at
	}
	c.held = append(c.held, l)
	return at
}

func (c *claims) refuse(flag, at string, err error) {
	if errors.Is(err, syscall.EADDRINUSE) {
		c.errs = append(c.errs, fmt.Errorf("%s is taken; choose another with -%s", at, flag))
		return
	}
	c.errs = append(c.errs, fmt.Errorf("cannot listen on %s; choose another with -%s: %w", at, flag, err))
}

func address(first, i int) string {
	if first > 0 {
		first += i
	}
	return net.JoinHostPort(loopback, strconv.Itoa(first))
}
