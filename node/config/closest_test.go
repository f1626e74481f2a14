package config

import (
	"strings"
	"testing"
)

func TestClosest(t *testing.T) {
	keys := []string{"burst", "rps", "rate_limit", "rate_limits", "timeout_ms", "path"}
	f := func(typed, want string) {
		t.Helper()
		if got := closest(typed, keys); got != want {
			t.Errorf("%q: got %q, want %q", typed, got, want)
		}
	}
	f("brust", "burst")          // swapped
	f("burts", "burst")          // swapped at the end
	f("rp", "rps")               // left out
	f("rpss", "rps")             // doubled
	f("rate_limt", "rate_limit") // the nearer of two
	f("ratelimits", "rate_limits")
	f("timeout", "timeout_ms") // without its unit
	f("colour", "")
	f("x", "")
	f("", "")
	f(strings.Repeat("burst", 20), "")
}
