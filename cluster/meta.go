package cluster

import (
	"encoding/binary"
	"time"
)

// meta is what each member shows with its name and address: when its process
// started, by its own clock, and the version of its program.
type meta struct {
	started int64 // nanoseconds
	version string
}

func (m meta) encode() []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(m.started)), m.version...)
}

// decodeMeta makes the best of what a strange program may send.
func decodeMeta(data []byte) meta {
	if len(data) < 8 {
		return meta{}
	}
	return meta{started: int64(binary.BigEndian.Uint64(data)), version: string(data[8:])}
}

func newMeta(o Options, started time.Time) meta {
	return meta{started: started.UnixNano(), version: o.Version}
}
