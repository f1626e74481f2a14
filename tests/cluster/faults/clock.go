package faults

import (
	"time"
	"unsafe"
)

// clock is the one clock of a stage; it never goes back.
type clock struct{ epoch time.Time }

func (c clock) now() time.Duration { return time.Since(c.epoch) }

// stepped is a time of [time.Now] on a machine whose wall clock was set by whole
// seconds: the monotonic clock beside it goes on as if nothing was. No method of
// time.Time moves one without the other. Its first word holds the wall clock: 30
// bits of nanoseconds, then seconds.
func stepped(now time.Time, by time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&now)) += uint64(int64(by/time.Second)) << 30
	return now
}
