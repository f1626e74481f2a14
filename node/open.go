package node

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/go-api-gateway-pro/gateway/cluster"
	"github.com/go-api-gateway-pro/gateway/cluster/push"
	"github.com/go-api-gateway-pro/gateway/limiter"
	"github.com/go-api-gateway-pro/gateway/node/admin"
	"github.com/go-api-gateway-pro/gateway/node/config"
)

// openGossip binds the gossip port, but joins nobody yet.
func (n *Node) openGossip(cfg cluster.Config) error {
	var err error
	n.peer, err = cluster.New(cluster.Options{
		Config: cfg, Name: n.name, Version: n.version, Log: n.logger, Registerer: n.registry, Now: n.now,
	})
	if err != nil {
		return fmt.Errorf("cannot start gossip: %w", err)
	}
	n.teardown.push("cluster", n.peer.Leave)
	n.statuses = cluster.NewRows(n.name, statusTTL, n.now)
	n.share = n.peer.Share("status", n.statuses) // must precede Join
	return nil
}

// keyed gives the limiter a key prefix of its cluster's own, so that two
// clusters can share one Redis.
func (n *Node) keyed(cfg *config.Config) limiter.Config {
	c := cfg.Redis
	if c.KeyPrefix == "" {
		c.KeyPrefix = cfg.Cluster.Label
	}
	return c
}

func (n *Node) openPush(cfg *config.Config) error {
	var err error
	n.pusher, err = push.New(push.Options{
		Peer: n.peer, Config: pushTarget{n}, Exposed: exposedPush(cfg), Leftover: n.leftover(), Log: n.logger, Registerer: n.registry,
	})
	if err != nil {
		return fmt.Errorf("cannot start the push protocol: %w", err)
	}
	return nil
}

func (n *Node) openData(cfg config.Server) error {
	var err error
	if n.data, err = listen(cfg.Host, cfg.Port); err != nil {
		return fmt.Errorf("cannot listen on server.host, server.port: %w", err)
	}
	n.teardown.push("data listener", func(context.Context) error { return n.data.Close() })
	if err := n.tuneListener(cfg); err != nil {
		return err
	}
	n.app = n.newApp()
	n.tuneServer()
	return nil
}

func (n *Node) openAdmin(cfg config.Admin) error {
	var err error
	n.admin, err = admin.New(admin.Options{
		Addr: net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)), Hosts: cfg.Hosts, Token: cfg.Token, Log: n.logger, Now: n.now,
		Cluster:  func() any { return n.clusterView() },
		Config:   func() any { return n.snapshot.Load().config.Redacted() },
		Override: func(o admin.Override) error { return n.backends.Override(o.Backend, o.State, o.Hold) },
		Push:     n.push,
		Builtin:  n.adminBuiltins(),
	})
	if err != nil {
		return fmt.Errorf("cannot listen on admin.host, admin.port: %w", err)
	}
	n.teardown.push("admin port", n.admin.Close)
	return nil
}
