package harness

import "testing"

func TestScriptCalls(t *testing.T) {
	const stats = "# Commandstats\r\ncmdstat_evalsha:calls=12,usec=3\r\ncmdstat_eval:calls=3,usec=1\r\n" +
		"cmdstat_evalsha_ro:calls=100,usec=1\r\ncmdstat_get:calls=9,usec=2\r\n"
	if got := scriptCalls(stats); got != 15 {
		t.Errorf("got %v, want 15", got)
	}
}

func TestRedisVersion(t *testing.T) {
	if got := redisVersion("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc"); got != "7.0.15" {
		t.Errorf("got %q", got)
	}
	if got := redisVersion(""); got != "unknown" {
		t.Errorf("got %q", got)
	}
}
