package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

const maxLabel = 255 // bytes; the packet header has one byte for the length

// Config says where this node gossips, with whom, and under which key. It is
// the section `cluster` of the configuration. The zero value is a cluster of
// one that opens no socket.
type Config struct {
	// Bind is the address to listen on, TCP and UDP, as ip:port. Port 0 takes a
	// free one. Empty: no gossip, a cluster of one.
	Bind string `yaml:"bind"`

	// Advertise is the address other members use to reach this node, as ip:port;
	// port 0 stands for the bound port. Empty: the bound address, or, where that
	// is unspecified (0.0.0.0), the local address that routes to the join peers.
	Advertise string `yaml:"advertise"`

	// Join lists host:port of members to contact. A host may resolve to many
	// addresses, this node's own among them. Empty entries are skipped, so that
	// an unset variable may stand in the list.
	Join []string `yaml:"join"`

	// SecretKey encrypts and authenticates all gossip. The first key is used to
	// send, all are accepted, which is how a key is replaced while the cluster
	// runs (see Peer.UseKeys). Without a key Bind must be a loopback address.
	SecretKey Keys `yaml:"secret_key"`

	// Label keeps clusters apart that can reach each other: members with
	// different labels refuse each other. 1 to 255 bytes.
	Label string `yaml:"label"`
}

// DefaultConfig returns a node that gossips on loopback and joins nobody.
func DefaultConfig() Config {
	return Config{Bind: "127.0.0.1:7946", Label: "gateway"}
}

// Validate reports every problem at once, each beginning with the path of its
// field. No error holds the secret key.
func (c Config) Validate() error {
	return errors.Join(c.checkBind(), c.checkAdvertise(), c.checkJoin(), c.SecretKey.check(), c.checkLabel())
}

func (c Config) checkBind() error {
	if c.Bind == "" {
		return nil
	}
	if _, err := parseAddr(c.Bind); err != nil {
		return fmt.Errorf("bind: must be ip:port, such as 0.0.0.0:7946, got %q", c.Bind)
	}
	if c.Exposed() {
		return fmt.Errorf("bind: %s needs secret_key: gossip without a key is allowed on loopback only", c.Bind)
	}
	return nil
}

// Exposed reports whether others on the network can read what members say.
// Validate lets no node start like that.
func (c Config) Exposed() bool {
	at, err := parseAddr(c.Bind)
	return len(c.SecretKey) == 0 && err == nil && !at.Addr().IsLoopback()
}

func (c Config) checkAdvertise() error {
	if c.Advertise == "" {
		return nil
	}
	at, err := parseAddr(c.Advertise)
	if err != nil || at.Addr().IsUnspecified() {
		return fmt.Errorf("advertise: must be the ip:port others reach this node at, got %q", c.Advertise)
	}
	return nil
}

func (c Config) checkJoin() error {
	var errs []error
	for i, peer := range c.Join {
		if peer == "" {
			continue
		}
		if c.Bind == "" {
			errs = append(errs, fmt.Errorf("join[%d]: needs bind, which is empty: a node without it cannot reach %q", i, peer))
		}
		if _, _, err := splitPeer(peer); err != nil {
			errs = append(errs, fmt.Errorf("join[%d]: must be host:port with a port from 1 to 65535, got %q", i, peer))
		}
	}
	return errors.Join(errs...)
}

func (c Config) checkLabel() error {
	if c.Bind != "" && c.Label == "" || len(c.Label) > maxLabel {
		return fmt.Errorf("label: must be 1 to %d bytes, got %d", maxLabel, len(c.Label))
	}
	return nil
}

// parseAddr refuses zones, which gossip cannot carry to another machine.
func parseAddr(s string) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if at.Addr().Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("address %s has a zone", s)
	}
	return at, nil
}

func splitPeer(s string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, err
	}
	if host == "" || n == 0 {
		return "", 0, fmt.Errorf("host and port must be given, got %q", s)
	}
	return host, uint16(n), nil
}
