package rig

import "testing"

func TestScriptCalls(t *testing.T) {
	const stats = "# Commandstats\r\ncmdstat_evalsha:calls=12,usec=3\r\ncmdstat_eval:calls=3,usec=1\r\n" +
		"cmdstat_evalsha_ro:calls=100,usec=1\r\ncmdstat_get:calls=9,usec=2\r\n"
	if got := scriptCalls(stats); got != 15 {
		t.Errorf("got %v, want 15", got)
	}
}
