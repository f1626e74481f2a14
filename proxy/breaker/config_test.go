package breaker

import (
	"math"
	"strings"
	"testing"
)

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	f := func(want string, change func(*Config)) {
		t.Helper()
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f("failures: must be between 1 and 1000, got 0", func(c *Config) { c.Failures = 0 })
	f("failure_ratio: must be between 0 and 1, got 1.5", func(c *Config) { c.FailureRatio = 1.5 })
	f("failure_ratio: must be between 0 and 1, got -0.1", func(c *Config) { c.FailureRatio = -0.1 })
	f("failure_ratio: must be between 0 and 1, got NaN", func(c *Config) { c.FailureRatio = math.NaN() })
	f("window_ms: must be between 100 and 600000, got 99", func(c *Config) { c.WindowMS = 99 })
	f("open_ms: must be between 1 and 3600000, got 0", func(c *Config) { c.OpenMS = 0 })
}
