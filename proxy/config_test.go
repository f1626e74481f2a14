package proxy

import (
	"strings"
	"testing"
)

func TestUpstreamConfigValidate(t *testing.T) {
	f := func(want string, change func(*UpstreamConfig)) {
		t.Helper()
		c := DefaultUpstreamConfig()
		c.URL = "http://users:8080"
		change(&c)
		err := c.Validate()
		switch {
		case want == "" && err != nil:
			t.Errorf("got %v, want none", err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)):
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("", func(*UpstreamConfig) {})
	f("", func(c *UpstreamConfig) { c.URL = "https://users/base/v1/" })
	f("", func(c *UpstreamConfig) { c.URL = "http://[::1]:80" })
	f("upstream: must be an http or https URL", func(c *UpstreamConfig) { c.URL = "" })
	f("upstream: must be an http or https URL", func(c *UpstreamConfig) { c.URL = "ftp://x" })
	f("upstream: must be an http or https URL", func(c *UpstreamConfig) { c.URL = "http://:80" })
	f("upstream: must have no user", func(c *UpstreamConfig) { c.URL = "http://u:p@x" })
	f("upstream: must have no user", func(c *UpstreamConfig) { c.URL = "http://x?a=1" })
	f("upstream: must have no user", func(c *UpstreamConfig) { c.URL = "http://x#a" })
	f("upstream: must have a port between", func(c *UpstreamConfig) { c.URL = "http://x:70000" })
	f("upstream: must have a canonical path", func(c *UpstreamConfig) { c.URL = "http://x/a/../b" })
	f("strip_prefix: must be", func(c *UpstreamConfig) { c.StripPrefix = "api" })
	f("timeout_ms: must be between 1 and 3600000, got 0", func(c *UpstreamConfig) { c.TimeoutMS = 0 })
	f("retry.attempts: must be between 0 and 10, got -1", func(c *UpstreamConfig) { c.Retry.Attempts = -1 })
	f("retry.backoff_ms: ", func(c *UpstreamConfig) { c.Retry.BackoffMS = -1 })
	f("breaker.failures: ", func(c *UpstreamConfig) { c.Breaker.Failures = 0 })
	f("breaker.failure_ratio: ", func(c *UpstreamConfig) { c.Breaker.FailureRatio = 2 })
	f("breaker.window_ms: ", func(c *UpstreamConfig) { c.Breaker.WindowMS = 1 })
	f("breaker.open_ms: ", func(c *UpstreamConfig) { c.Breaker.OpenMS = 0 })
}

func TestUpstreamConfigReportsAllProblems(t *testing.T) {
	err := UpstreamConfig{URL: "http://u:secret@x"}.Validate()
	if err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("got %v, want five problems", err)
	}
	if err != nil && strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows the password: %v", err)
	}
}
