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

// AccessLog writes lines that hold nothing but what is put into them, behind time and level.
type AccessLog struct {
	log zerolog.Logger
	on  bool
}

// NewAccessLog returns a log that writes to w. Its lines are of level info: under a severer one there are none.
func NewAccessLog(w io.Writer, c LogConfig) AccessLog {
	level, err := zerolog.ParseLevel(c.Level)
	return AccessLog{log: zerolog.New(w), on: err != nil || level <= zerolog.InfoLevel}
}

// Line begins a line of that time; the caller adds its fields and sends it. It is nil, which takes fields too,
// when there is none to write.
func (a AccessLog) Line(at time.Time) *zerolog.Event {
	if !a.on {
		return nil
	}
	return appendTime(a.log.Log(), at).Str(zerolog.LevelFieldName, zerolog.LevelInfoValue)
}

// timestamp writes the time itself, because the time format of zerolog is a package variable that belongs
// to the whole process.
type timestamp struct {
	now func() time.Time
}

// Run implements [zerolog.Hook].
func (t timestamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	appendTime(e, t.now())
}

func appendTime(e *zerolog.Event, at time.Time) *zerolog.Event {
	var buffer [len(timeLayout) + 2]byte
	return e.Bytes("time", at.UTC().AppendFormat(buffer[:0], timeLayout))
}
