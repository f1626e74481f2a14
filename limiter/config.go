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
	// Addrs are the Redis addresses, host:port; one in standalone mode. Without
	// any (or with empty ones only) the buckets live in this process.
	Addrs []string `yaml:"addrs"`
	// Mode is how the addresses are to be read; standalone for now.
	Mode string `yaml:"mode"`
	// Username and Password are sent to Redis if Password is not empty.
	Username string `yaml:"username"`
	Password string `yaml:"password"`
	// DB is the database number, 0 to 15 on a default Redis.
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

const (
	modeStandalone = "standalone"

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
		Mode:     modeStandalone,
		BudgetMS: 10,
		Fallback: FallbackConfig{MinMembers: 1},
	}
}

// Validate names every field that is out of bounds, each with its path inside
// the section.
func (c Config) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Mode != modeStandalone {
		fail("mode: %q is not supported yet, allowed: %s", c.Mode, modeStandalone)
	}
	for i, addr := range c.Addrs {
		if addr != "" && !validAddr(addr) {
			fail("addrs[%d]: must be host:port with a port from 1 to 65535, got %q", i, addr)
		}
	}
	if n := len(c.addresses()); c.Mode == modeStandalone && n > 1 {
		fail("addrs: must be at most one address in mode %s, got %d", modeStandalone, n)
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
	return errors.Join(errs...)
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
