package cluster

import (
	"bytes"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

const (
	logBurst     = 20 // lines of the library in one logPeriod
	logPeriod    = 10 * time.Second
	refusedEvery = time.Minute // between two lines about strangers refused for one reason
)

// Reasons why something that arrived was refused, as the metric has them.
const (
	refusedKey   = "key"   // not encrypted, or with a key that is not accepted
	refusedLabel = "label" // of another cluster
	refusedState = "state" // shared state that is malformed or too much to keep
	refusedSize  = "size"  // a message or connection with more than any member sends
	refusedBusy  = "busy"  // a connection beyond those that are served at once
)

// limited is a log that others can make us write to, and must not fill the disk
// with.
func limited(log zerolog.Logger) zerolog.Logger {
	return log.Sample(&zerolog.BurstSampler{Burst: logBurst, Period: logPeriod})
}

// logWriter turns the lines of the gossip library, such as "[WARN] memberlist:
// text", into log events of the same level. Lines about strangers it counts, since
// the library tells of them in no other way.
type logWriter struct {
	log      zerolog.Logger
	key      zerolog.Logger // one line in refusedEvery
	label    zerolog.Logger
	refusals *prometheus.CounterVec
}

func newLogWriter(log zerolog.Logger, refusals *prometheus.CounterVec) logWriter {
	seldom := func() zerolog.Logger {
		return log.Sample(&zerolog.BurstSampler{Burst: 1, Period: refusedEvery})
	}
	return logWriter{log: limited(log), key: seldom(), label: seldom(), refusals: refusals}
}

// Write takes one line.
func (w logWriter) Write(line []byte) (int, error) {
	level, text := splitLevel(bytes.TrimSpace(line))
	text = bytes.TrimPrefix(text, []byte("memberlist: "))
	switch reason := refusal(text); reason {
	case refusedKey:
		w.refuse(&w.key, reason, text)
	case refusedLabel:
		w.refuse(&w.label, reason, text)
	default:
		w.log.WithLevel(level).Msg(string(text))
	}
	return len(line), nil
}

func (w logWriter) refuse(log *zerolog.Logger, reason string, text []byte) {
	w.refusals.WithLabelValues(reason).Inc()
	log.Warn().Str("reason", reason).Bytes("cause", text).
		Msg("stranger refused; more of the same are counted and logged once a minute")
}

// refusal is the reason that a line of the library gives for refusing what came,
// or empty if it is about something else.
func refusal(text []byte) string {
	has := func(part string) bool { return bytes.Contains(text, []byte(part)) }
	switch {
	case has("unacceptable label"), has("double packet label"), has("double stream label"):
		return refusedLabel
	case has("Decrypt packet failed"), has("no installed keys"), has("is encrypted and encryption is not"),
		has("encryption is configured but"):
		return refusedKey
	}
	return ""
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
