package faults

import (
	"testing"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// What relays do to conversations.
const (
	sound  = harness.Sound
	slow   = harness.Slow
	hang   = harness.Hang
	nobody = harness.Nobody
)

// failover is a replica of a redis-server and the sentinels that watch both.
type failover struct{ sentinels []string }

func newFailover(tb testing.TB, master *harness.Redis, ports []int) *failover { return nil }

func (f fault) redisEnv(tb testing.TB) []string { return nil }
