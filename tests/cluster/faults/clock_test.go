package faults

import (
	"testing"
	"time"
)

func TestSteppedMovesTheWallClockAlone(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 0} {
		before := time.Now()
		after := stepped(before, by)
		if got := after.Round(0).Sub(before.Round(0)); got != by {
			t.Errorf("the wall clock moved by %s, want %s", got, by)
		}
		if got := after.Sub(before); got != 0 {
			t.Errorf("the monotonic clock moved by %s", got)
		}
	}
}
