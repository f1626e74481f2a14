package proxy

import "encoding/binary"

// goodbye is the frame that ends a WebSocket: close, with status 1001, "going
// away" (RFC 6455 §5.5.1 and §7.4.1), as a server sends it.
const goodbye = "\x88\x02\x03\xe9"

// frames follows a stream of WebSocket frames (RFC 6455 §5.2) to know where one
// ends: only there another can be put in. It looks at nothing else in them.
type frames struct {
	head [14]byte // of the frame that begins
	have int      // bytes of it
	left uint64   // bytes of the payload to come
}

// next takes in b up to the end of the present frame and returns how much that is.
func (f *frames) next(b []byte) int {
	taken := 0
	for taken < len(b) {
		if f.left > 0 {
			n := min(uint64(len(b)-taken), f.left)
			f.left -= n
			taken += int(n)
		} else {
			f.head[f.have] = b[taken]
			f.have++
			taken++
			if f.have < headSize(f.head[:f.have]) {
				continue
			}
			f.left = payloadSize(f.head[:f.have])
			f.have = 0
		}
		if f.between() {
			break
		}
	}
	return taken
}

// between reports whether a frame has ended and none begun.
func (f *frames) between() bool { return f.have == 0 && f.left == 0 }

// headSize returns how long a head is that begins with b, as far as b tells.
func headSize(b []byte) int {
	if len(b) < 2 {
		return 2
	}
	size := 2
	switch b[1] & 0x7f {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if b[1]&0x80 != 0 {
		size += 4 // the mask
	}
	return size
}

func payloadSize(head []byte) uint64 {
	switch n := head[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		return binary.BigEndian.Uint64(head[2:])
	default:
		return uint64(n)
	}
}
