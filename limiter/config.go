package limiter

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Config is the section `redis` of the configuration.
type Config struct {
	// Addrs are addresses, host:port: of the one server in standalone mode, of
	// some sentinels, or of some nodes of a Redis Cluster. Without any (or with
	// empty ones only) the buckets live in this process.
	Addrs []string `yaml:"addrs"`
	// Mode is how the addresses are to be read: standalone, sentinel or cluster.
	Mode string `yaml:"mode"`
	// MasterName is the name by which the sentinels know the master.
	MasterName string `yaml:"master_name"`
	// Username and Password are sent to Redis if Password is not empty.
	Username string `yaml:"username"`
	Password string `yaml:"password"`
	// SentinelUsername and SentinelPassword are sent to the sentinels if
	// SentinelPassword is not empty.
	SentinelUsername string `yaml:"sentinel_username"`
	SentinelPassword string `yaml:"sentinel_password"`
	// TLS encrypts the connections.
	TLS TLSConfig `yaml:"tls"`
	// DB is the database number, 0 to 15 on a default Redis; 0 on a Cluster.
	DB int `yaml:"db"`
	// BudgetMS is the longest a check waits for Redis, in milliseconds.
	BudgetMS int `yaml:"budget_ms"`
	// KeyPrefix keeps clusters that share one Redis apart.
	KeyPrefix string `yaml:"key_prefix"`
	// Fallback is how to limit while Redis is away.
	Fallback FallbackConfig `yaml:"fallback"`
}

// FallbackConfig is how a node limits without Redis.
type FallbackConfig struct {
	// MinMembers is the smallest number of nodes a limit is divided by. Set it
	// to the planned size of the cluster to stay safe when gossip fails too.
	MinMembers int `yaml:"min_members"`
}

// The modes of Config.
const (
	ModeStandalone = "standalone"
	ModeSentinel   = "sentinel"
	ModeCluster    = "cluster"
)

const (
	minBudgetMS  = 1
	maxBudgetMS  = 1000
	maxMembers   = 1000
	maxPrefixLen = 128
	maxDB        = 1 << 20
)

// DefaultConfig is a limiter without Redis, with a budget of 10 ms should an
// address be added.
func DefaultConfig() Config {
	return Config{
		Mode:     ModeStandalone,
		BudgetMS: 10,
		Fallback: FallbackConfig{MinMembers: 1},
	}
}

// Validate names every field that is out of bounds, each with its path inside
// the section.
func (c Config) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	c.validateMode(fail)
	for i, addr := range c.Addrs {
		if addr != "" && !validAddr(addr) {
			fail("addrs[%d]: must be host:port with a port from 1 to 65535, got %q", i, addr)
		}
	}
	if c.Username != "" && c.Password == "" {
		fail("password: must not be empty when username is set")
	}
	if c.DB < 0 || c.DB > maxDB {
		fail("db: must be from 0 to %d, got %d", maxDB, c.DB)
	}
	if c.BudgetMS < minBudgetMS || c.BudgetMS > maxBudgetMS {
		fail("budget_ms: must be from %d to %d, got %d", minBudgetMS, maxBudgetMS, c.BudgetMS)
	}
	if len(c.KeyPrefix) > maxPrefixLen {
		fail("key_prefix: must be at most %d bytes, got %d", maxPrefixLen, len(c.KeyPrefix))
	}
	if n := c.Fallback.MinMembers; n < 1 || n > maxMembers {
		fail("fallback.min_members: must be from 1 to %d, got %d", maxMembers, n)
	}
	if err := c.TLS.validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// validateMode checks the fields whose meaning depends on the mode.
func (c Config) validateMode(fail func(string, ...any)) {
	n := len(c.addresses())
	switch c.Mode {
	case ModeStandalone:
		if n > 1 {
			fail("addrs: must be at most one address in mode %s, got %d", ModeStandalone, n)
		}
	case ModeSentinel:
		if n > 0 && c.MasterName == "" {
			fail("master_name: must not be empty in mode %s", ModeSentinel)
		}
	case ModeCluster:
		if c.DB != 0 {
			fail("db: must be 0 in mode %s, got %d", ModeCluster, c.DB)
		}
	default:
		fail("mode: must be one of %s, %s, %s, got %q", ModeStandalone, ModeSentinel, ModeCluster, c.Mode)
	}
	if c.MasterName != "" && c.Mode != ModeSentinel {
		fail("master_name: must be empty in mode %s, got %q", c.Mode, c.MasterName)
	}
	if c.SentinelUsername != "" && c.SentinelPassword == "" {
		fail("sentinel_password: must not be empty when sentinel_username is set")
	}
}

// addresses are the ones that name something: an unset variable in the file
// expands to an empty string and means "no Redis".
func (c Config) addresses() []string {
	var addrs []string
	for _, addr := range c.Addrs {
		if strings.TrimSpace(addr) != "" {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

func (c Config) budget() time.Duration {
	return time.Duration(c.BudgetMS) * time.Millisecond
}

func validAddr(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" || strings.ContainsAny(host, " \t\r\n/") {
		return false
	}
	n, err := strconv.Atoi(port)
	return err == nil && n >= 1 && n <= 65535
}
