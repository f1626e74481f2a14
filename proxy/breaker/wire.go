package breaker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// wireVersion opens every message: then follow entries, each a kind and its
// fields. A full state is a message with all entries.
const (
	wireVersion  = 1
	kindRow      = 1
	kindOverride = 2
)

var errShort = errors.New("message is cut short")

// entry is a row or an override under its keys.
type entry struct {
	backend  string
	observer string // of a row
	row      *row   // or
	override *override
}

// appendRow writes a row with its times turned into what is left of them.
func appendRow(out []byte, backend, observer string, r *row, now time.Time) []byte {
	out = append(out, kindRow)
	out = appendString(out, backend)
	out = appendString(out, observer)
	out = binary.AppendUvarint(out, r.version)
	out = append(out, byte(r.claim), r.flags())
	out = binary.AppendUvarint(out, r.episode)
	out = binary.AppendUvarint(out, r.attempt)
	out = appendDuration(out, now.Sub(r.since))
	out = appendDuration(out, r.probeAt.Sub(now))
	return appendDuration(out, r.expires.Sub(now))
}

func appendOverride(out []byte, backend string, o *override, now time.Time) []byte {
	out = append(out, kindOverride)
	out = appendString(out, backend)
	out = appendString(out, o.issuer)
	out = binary.AppendUvarint(out, o.version)
	out = append(out, byte(o.mode))
	out = appendDuration(out, now.Sub(o.since))
	return appendDuration(out, o.expires.Sub(now))
}

func appendString(out []byte, s string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(s))), s...)
}

func appendDuration(out []byte, d time.Duration) []byte {
	return binary.AppendUvarint(out, uint64(max(d, 0)))
}

// decode returns the entries of a message. A malformed one yields none.
func decode(message []byte, now time.Time) ([]entry, error) {
	if len(message) == 0 {
		return nil, errShort
	}
	if message[0] != wireVersion {
		return nil, fmt.Errorf("message has version %d, want %d", message[0], wireVersion)
	}
	var out []entry
	for r := (reader{buf: message[1:]}); len(r.buf) > 0; {
		if len(out) == maxRows+maxOverrides {
			return nil, fmt.Errorf("message has more than %d entries", maxRows+maxOverrides)
		}
		e, err := r.entry(now)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// reader takes values off buf until one is missing; err then stays set.
type reader struct {
	buf []byte
	err error
}

func (r *reader) entry(now time.Time) (entry, error) {
	kind := r.byte()
	e := entry{backend: r.name()}
	switch kind {
	case kindRow:
		e.observer, e.row = r.name(), r.row(now)
	case kindOverride:
		e.override = r.override(now)
	default:
		return entry{}, fmt.Errorf("entry has unknown kind %d", kind)
	}
	return e, r.err
}

func (r *reader) row(now time.Time) *row {
	out := &row{version: r.uvarint(), claim: claim(r.byte())}
	flags := r.byte()
	out.firsthand, out.solo = flags&flagFirsthand != 0, flags&flagSolo != 0
	out.episode, out.attempt = r.uvarint(), r.uvarint()
	out.since = now.Add(-r.duration(math.MaxInt64))
	out.probeAt = now.Add(r.duration(maxOpenMS * time.Millisecond))
	out.expires = now.Add(r.duration(rowTTL))
	if r.err == nil && (out.claim >= claimCount || out.attempt > maxAttempt) {
		r.fail(fmt.Errorf("row has claim %d and attempt %d", out.claim, out.attempt))
	}
	return out
}

func (r *reader) override(now time.Time) *override {
	out := &override{issuer: r.name(), version: r.uvarint(), mode: Mode(r.byte())}
	out.since = now.Add(-r.duration(MaxOverride))
	out.expires = now.Add(r.duration(MaxOverride))
	if r.err == nil && (out.mode >= modeCount || out.version > math.MaxUint64/2) {
		r.fail(fmt.Errorf("override has mode %d and version %d", out.mode, out.version))
	}
	return out
}

func (r *reader) byte() byte {
	if len(r.buf) == 0 {
		r.fail(errShort)
		return 0
	}
	b := r.buf[0]
	r.buf = r.buf[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.buf)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.buf = r.buf[n:]
	return v
}

// duration reads one and bounds what a hostile member may say.
func (r *reader) duration(most time.Duration) time.Duration {
	return time.Duration(min(r.uvarint(), uint64(most)))
}

func (r *reader) name() string {
	n := r.uvarint()
	if r.err == nil && (n == 0 || n > maxName) {
		r.fail(fmt.Errorf("name must be 1 to %d bytes, got %d", maxName, n))
	}
	if n > uint64(len(r.buf)) {
		r.fail(errShort)
		return ""
	}
	s := string(r.buf[:n])
	r.buf = r.buf[n:]
	return s
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.buf = nil
}
