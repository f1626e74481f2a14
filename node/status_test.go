package node

import (
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/cluster"
)

func TestStatusCache(t *testing.T) {
	var c statusCache
	f := func(want string, rows ...cluster.Row) {
		t.Helper()
		got := ""
		for _, s := range c.all(rows) {
			got += s.Mode
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	row := func(version uint64, payload string) cluster.Row {
		return cluster.Row{Owner: "a", Version: version, Payload: []byte(payload)}
	}
	f("redis", row(1, `{"mode":"redis"}`))
	f("redis", row(1, `not looked at again`))
	f("local", row(2, `{"mode":"local"}`))
	f("", row(3, `not a row of ours`))
	f("redis", row(4, `{"mode":"redis"}`))
	f("")
	f("local", row(4, `{"mode":"local"}`)) // forgotten, so decoded anew
}

func TestSilence(t *testing.T) {
	var c statusCache
	f := func(remaining time.Duration, self bool, want int64) {
		t.Helper()
		s := c.all([]cluster.Row{{Owner: "a", Version: 1, Payload: []byte(`{}`), Remaining: remaining}})["a"]
		if got := s.silence(self); got != want {
			t.Errorf("%s of its life left: silent for %d ms, want %d", remaining, got, want)
		}
	}
	f(statusTTL, false, 0)
	f(statusTTL-statusEvery, false, 0)
	f(statusTTL-silentAfter, false, 1600)
	f(statusTTL-3*time.Second, false, 3000)
	f(statusTTL-3*time.Second, true, 0)
}
