package limiter

import (
	"strings"
	"testing"
	"time"
)

func TestConfigValidate(t *testing.T) {
	f := func(change func(*Config), want ...string) {
		t.Helper()
		c := DefaultConfig()
		change(&c)
		checkProblems(t, c.Validate(), want)
	}
	f(func(*Config) {})
	f(func(c *Config) { c.Addrs = []string{"redis:6379"}; c.KeyPrefix = "prod"; c.DB = 3 })
	f(func(c *Config) { c.Addrs = []string{"[::1]:6379"} })
	f(func(c *Config) { c.Addrs = []string{""} }) // an unset variable
	f(func(c *Config) { c.Mode = "" }, `mode: must be one of standalone, sentinel, cluster, got ""`)
	f(func(c *Config) { c.Mode = "cluster"; c.Addrs = []string{"a:1", "b:1"} })
	f(func(c *Config) { c.Mode = "cluster"; c.DB = 1 }, `db: must be 0 in mode cluster, got 1`)
	f(func(c *Config) { c.Mode = "sentinel"; c.Addrs = []string{"a:1", "b:1"}; c.MasterName = "main" })
	f(func(c *Config) { c.Mode = "sentinel"; c.Addrs = []string{"a:1"} }, `master_name: must not be empty in mode sentinel`)
	f(func(c *Config) { c.MasterName = "main" }, `master_name: must be empty in mode standalone, got "main"`)
	f(func(c *Config) { c.SentinelUsername = "u" }, `sentinel_password: must not be empty when sentinel_username is set`)
	f(func(c *Config) { c.TLS = TLSConfig{Enabled: true, CertFile: "a.pem"} },
		`tls: must have both cert_file and key_file or neither, got "a.pem" and ""`)
	f(func(c *Config) { c.TLS.CAFile = "ca.pem" }, `tls.enabled: must be true when another key of tls is set, got false`)
	f(func(c *Config) { c.Addrs = []string{"redis"} }, `addrs[0]: must be host:port with a port from 1 to 65535, got "redis"`)
	f(func(c *Config) { c.Addrs = []string{"redis:0"} }, `addrs[0]: must be host:port with a port from 1 to 65535, got "redis:0"`)
	f(func(c *Config) { c.Addrs = []string{":6379"} }, `addrs[0]: must be host:port with a port from 1 to 65535, got ":6379"`)
	f(func(c *Config) { c.Addrs = []string{"a:1", "b:1"} }, `addrs: must be at most one address in mode standalone, got 2`)
	f(func(c *Config) { c.Username = "u" }, `password: must not be empty when username is set`)
	f(func(c *Config) { c.DB = -1 }, `db: must be from 0 to 1048576, got -1`)
	f(func(c *Config) { c.KeyPrefix = strings.Repeat("x", 129) }, `key_prefix: must be at most 128 bytes, got 129`)
	f(func(c *Config) { c.BudgetMS, c.Fallback.MinMembers = 0, 0 },
		`budget_ms: must be from 1 to 1000, got 0`, `fallback.min_members: must be from 1 to 1000, got 0`)
	f(func(c *Config) { c.BudgetMS = 1001 }, `budget_ms: must be from 1 to 1000, got 1001`)
}

func TestLimitValidate(t *testing.T) {
	f := func(change func(*Limit), want ...string) {
		t.Helper()
		l := Limit{ID: "a", Scope: ScopeUser, Rate: 10, Burst: 10, Period: time.Second}
		change(&l)
		checkProblems(t, l.Validate(), want)
	}
	f(func(*Limit) {})
	f(func(l *Limit) { l.Rate = 100_000 })
	f(func(l *Limit) { l.Rate, l.Period = 6_000_000, time.Minute })
	f(func(l *Limit) { l.ID = "" }, `id: must be 1 to 256 bytes, got 0`)
	f(func(l *Limit) { l.Scope = "planet" }, `key_by: must be one of global, user, ip, header:NAME, claim:NAME, got "planet"`)
	f(func(l *Limit) { l.OnRedisDown = "panic" }, `on_redis_down: must be one of share, closed, open, got "panic"`)
	f(func(l *Limit) { l.Rate, l.Burst = 0, 0 }, `rps: must be at least 1, got 0`, `burst: must be at least 1, got 0`)
	f(func(l *Limit) { l.Rate = 100_001 }, `rps: must be at most 100000 per second, got 100001`)
	f(func(l *Limit) { l.Period = time.Microsecond }, `per: must be at least 1ms, got 1µs`)
	f(func(l *Limit) { l.Rate, l.Burst, l.Period = 1, 400, 24*time.Hour }, `burst: must fill within 366 days, got 400, which takes 400 days`)

	cost := func(n int, want ...string) {
		t.Helper()
		checkProblems(t, Limit{Burst: 10}.ValidateCost(n), want)
	}
	cost(1)
	cost(10)
	cost(0, `cost: must be from 1 to the burst 10, got 0`)
	cost(11, `cost: must be from 1 to the burst 10, got 11`)
}

func checkProblems(t *testing.T, err error, want []string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != strings.Join(want, "\n") {
		t.Errorf("got problems:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}
