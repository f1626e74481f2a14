package telemetry

import (
	"io"
	"time"

	"github.com/rs/zerolog"
)

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
	return zerolog.New(w).Level(level).Hook(timestamp{now: now, stamp: new(stamp)})
}

// AccessLog writes lines that hold nothing but what is put into them, behind time and level.
type AccessLog struct {
	log   zerolog.Logger
	on    bool
	stamp *stamp
}

// NewAccessLog returns a log that writes to w. Its lines are of level info: under a severer one there are none.
func NewAccessLog(w io.Writer, c LogConfig) AccessLog {
	level, err := zerolog.ParseLevel(c.Level)
	return AccessLog{log: zerolog.New(w), on: err != nil || level <= zerolog.InfoLevel, stamp: new(stamp)}
}

// Line begins a line of that time; the caller adds its fields and sends it. It is nil, which takes fields too,
// when there is none to write.
func (a AccessLog) Line(at time.Time) *zerolog.Event {
	if !a.on {
		return nil
	}
	return a.stamp.put(a.log.Log(), at).Str(zerolog.LevelFieldName, zerolog.LevelInfoValue)
}

// timestamp writes the time itself, because the time format of zerolog is a package variable that belongs
// to the whole process.
type timestamp struct {
	now   func() time.Time
	stamp *stamp
}

// Run implements [zerolog.Hook].
func (t timestamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	t.stamp.put(e, t.now())
}
