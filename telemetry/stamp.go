package telemetry

import (
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

const timeLayout = "2006-01-02T15:04:05.000Z" // RFC 3339 in UTC, with milliseconds

// stamp writes times. Lines come by the thousand in a second: what they have in
// common, all but the milliseconds, is rendered once. It is safe for concurrent use.
type stamp struct{ last atomic.Pointer[second] }

// second is a time, rendered.
type second struct {
	unix int64
	text string
}

// append appends a time of the years 0 to 9999 as timeLayout has it.
func (s *stamp) append(b []byte, at time.Time) []byte {
	known := s.last.Load()
	if unix := at.Unix(); known == nil || known.unix != unix {
		known = &second{unix: unix, text: at.UTC().Format(timeLayout)}
		s.last.Store(known)
	}
	b = append(b, known.text...)
	millis := at.Nanosecond() / int(time.Millisecond)
	digits := b[len(b)-len("000Z"):]
	digits[0], digits[1], digits[2] = digit(millis/100), digit(millis/10%10), digit(millis%10)
	return b
}

// put adds the field time to a line.
func (s *stamp) put(e *zerolog.Event, at time.Time) *zerolog.Event {
	var buffer [32]byte
	return e.Bytes("time", s.append(buffer[:0], at))
}

func digit(n int) byte { return '0' + byte(n) }
