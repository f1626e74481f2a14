package cluster

import (
	"bytes"
	"time"

	"github.com/rs/zerolog"
)

const (
	logBurst  = 20 // lines of the library in one logPeriod
	logPeriod = time.Second
)

// logWriter turns the lines of the gossip library, such as "[WARN] memberlist:
// text", into log events of the same level. Strangers can provoke such lines
// with a packet each, so their number is limited.
type logWriter struct{ log zerolog.Logger }

func newLogWriter(log zerolog.Logger) logWriter {
	return logWriter{log: log.Sample(&zerolog.BurstSampler{Burst: logBurst, Period: logPeriod})}
}

// Write takes one line.
func (w logWriter) Write(line []byte) (int, error) {
	level, text := splitLevel(bytes.TrimSpace(line))
	w.log.WithLevel(level).Msg(string(bytes.TrimPrefix(text, []byte("memberlist: "))))
	return len(line), nil
}

func splitLevel(line []byte) (zerolog.Level, []byte) {
	tag, text, found := bytes.Cut(line, []byte("] "))
	if !found || !bytes.HasPrefix(tag, []byte("[")) {
		return zerolog.DebugLevel, line
	}
	switch string(tag[1:]) {
	case "DEBUG":
		return zerolog.DebugLevel, text
	case "INFO":
		return zerolog.InfoLevel, text
	case "WARN":
		return zerolog.WarnLevel, text
	case "ERR", "ERROR":
		return zerolog.ErrorLevel, text
	}
	return zerolog.DebugLevel, line
}
