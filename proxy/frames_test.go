package proxy

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// frame is a WebSocket frame with a payload of a size.
func frame(size int, masked bool) []byte {
	b := []byte{0x82}
	mask := byte(0)
	if masked {
		mask = 0x80
	}
	switch {
	case size < 126:
		b = append(b, mask|byte(size))
	case size < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(size))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), uint64(size))
	}
	if masked {
		b = append(b, 1, 2, 3, 4)
	}
	return append(b, strings.Repeat("x", size)...)
}

func TestFramesEndWhereTheyEnd(t *testing.T) {
	for _, masked := range []bool{false, true} {
		for _, size := range []int{0, 1, 125, 126, 127, 65535, 65536, 70000} {
			one := frame(size, masked)
			for _, step := range []int{1, 3, 1000, len(one) + 5} {
				var f frames
				stream := append(bytes.Clone(one), frame(3, masked)...)
				for taken := 0; taken < len(one); {
					n := f.next(stream[taken:min(taken+step, len(stream))])
					taken += n
					if n == 0 || taken > len(one) || f.between() != (taken == len(one)) {
						t.Fatalf("size %d, masked %v, steps of %d: between is %v after %d of %d bytes",
							size, masked, step, f.between(), taken, len(one))
					}
				}
			}
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x81\x05hello\x88\x02\x03\xe9"), 3)
	f.Fuzz(func(t *testing.T, stream []byte, step int) {
		step = max(1, step%64)
		var at, whole frames
		for rest := stream; len(rest) > 0; {
			n := at.next(rest[:min(step, len(rest))])
			if n <= 0 {
				t.Fatal("nothing was taken")
			}
			rest = rest[n:]
		}
		for rest := stream; len(rest) > 0; {
			rest = rest[whole.next(rest):]
		}
		if at.left != whole.left || at.have != whole.have {
			t.Errorf("in steps of %d it ends in another place", step)
		}
	})
}

func TestWholeChunks(t *testing.T) {
	f := func(b string, want bool) {
		t.Helper()
		if got := wholeChunks([]byte(b)); got != want {
			t.Errorf("%q: got %v", b, got)
		}
	}
	f("", false)
	f("0\r\n\r\n", true)
	f("0\r\n", false)
	f("2\r\nok\r\n0\r\n\r\n", true)
	f("2;a=b\r\nok\r\n0\r\n\r\n", true)
	f("2\r\nok\r\n0\r\nX-A: 1\r\n\r\n", true)
	f("2\r\nok\r\n0\r\nX-A: 1\r\n", false)
	f("7\r\n0\r\n\r\n..\r\n", false) // ends like the last chunk, and is none
	f("a\r\n0123456789\r\n", false)
	f("A\r\n0123456789\r\n0\r\n\r\n", true)
	f("ffffffffffffffffff\r\nx", false)
	f("zz\r\n", true) // reading it fails at once
	f("\r\n", true)
}

func TestChunkedBodyIsReadWholeOnlyIfItIsThere(t *testing.T) {
	f := func(response string, streamed bool) {
		t.Helper()
		up := newBackend(t, always(response))
		x := newExchange(t, get("/"))
		forward(t, newTestBackends(t, Options{}).Upstream(configFor(up.url)), x)
		if x.Response.IsBodyStream() != streamed {
			t.Errorf("%q: streamed is %v", response, !streamed)
		}
		if err := x.Response.CloseBodyStream(); err != nil {
			t.Error(err)
		}
	}
	const head = "HTTP/1.1 200 OK\r\n"
	f(ok, false)
	f(head+"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false)
	f(head+"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", true)
	f(head+"Content-Length: 65537\r\n\r\n", true)
	f(head+"Connection: close\r\n\r\nok", true)
}
