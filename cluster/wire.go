package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// wireVersion opens every message and every full state. A member that meets
// another one ignores the bytes, so that a rolling upgrade can change them.
const wireVersion = 1

var errShort = errors.New("message is cut short")

// part is the state, or one message, of one key. A message is wireVersion and
// one part, a full state is wireVersion and any number of them.
type part struct {
	key  string
	data []byte
}

func appendPart(out []byte, p part) []byte {
	return appendBytes(appendBytes(out, p.key), p.data)
}

// decodeParts returns parts that share the memory of buf.
func decodeParts(buf []byte) ([]part, error) {
	if len(buf) == 0 {
		return nil, nil // a member without shared state
	}
	if buf[0] != wireVersion {
		return nil, fmt.Errorf("message has version %d, want %d", buf[0], wireVersion)
	}
	var parts []part
	for r := (reader{buf: buf[1:]}); len(r.buf) > 0; {
		p := part{key: string(r.bytes()), data: r.bytes()}
		if r.err != nil {
			return nil, r.err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func appendBytes[T string | []byte](out []byte, data T) []byte {
	return append(binary.AppendUvarint(out, uint64(len(data))), data...)
}

// reader takes values off buf until one is missing; err then stays set and
// all further values are zero.
type reader struct {
	buf []byte
	err error
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.buf)
	if r.err != nil || n <= 0 {
		r.fail()
		return 0
	}
	r.buf = r.buf[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if r.err != nil || n > uint64(len(r.buf)) {
		r.fail()
		return nil
	}
	data := r.buf[:n:n]
	r.buf = r.buf[n:]
	return data
}

func (r *reader) fail() {
	r.buf, r.err = nil, errShort
}
