package telemetry

import (
	"io"
	"time"

	"github.com/rs/zerolog"
)

const timeLayout = "2006-01-02T15:04:05.000Z07:00" // RFC 3339 with milliseconds

// NewLogger returns a logger that writes one JSON object per line to w, with level and time (RFC 3339,
// UTC, milliseconds). The level must be valid ([LogConfig.Validate]); otherwise info is used.
func NewLogger(w io.Writer, c LogConfig) zerolog.Logger {
	return newLogger(w, c, time.Now)
}

func newLogger(w io.Writer, c LogConfig, now func() time.Time) zerolog.Logger {
	level, err := zerolog.ParseLevel(c.Level)
	if err != nil {
		level = zerolog.InfoLevel
	}
	return zerolog.New(w).Level(level).Hook(timestamp{now: now})
}

// timestamp writes the time itself, because the time format of zerolog is a package variable that belongs
// to the whole process.
type timestamp struct {
	now func() time.Time
}

// Run implements [zerolog.Hook].
func (t timestamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	var buffer [len(timeLayout) + 2]byte
	e.Bytes("time", t.now().UTC().AppendFormat(buffer[:0], timeLayout))
}
