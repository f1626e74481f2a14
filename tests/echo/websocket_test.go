package echo

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// dial opens a WebSocket with the key and answer of RFC 6455 §1.3.
func dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	_, web := start(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(web.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Sec-WebSocket-Accept"); resp.StatusCode != 101 || got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("got status %d, accept %q", resp.StatusCode, got)
	}
	return conn, r
}

// header is a frame's length in each of its three widths.
func header(first, maskBit byte, n int) []byte {
	switch {
	case n > 0xFFFF:
		return binary.BigEndian.AppendUint64([]byte{first, maskBit | 127}, uint64(n))
	case n > 125:
		return binary.BigEndian.AppendUint16([]byte{first, maskBit | 126}, uint16(n))
	}
	return []byte{first, maskBit | byte(n)}
}

func masked(first byte, payload []byte) []byte {
	out := append(header(first, 0x80, len(payload)), 1, 2, 3, 4)
	for i, b := range payload {
		out = append(out, b^byte(i%4+1))
	}
	return out
}

func TestWebSocketEcho(t *testing.T) {
	conn, r := dial(t)
	f := func(first, wantFirst byte, payload []byte) {
		t.Helper()
		if _, err := conn.Write(masked(first, payload)); err != nil {
			t.Fatal(err)
		}
		want := append(header(wantFirst, 0, len(payload)), payload...)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("frame %#x of %d bytes came back wrong: starts %x, want %x, error %v",
				first, len(payload), got[:2], want[:2], err)
		}
	}
	f(0x81, 0x81, []byte("hello"))
	f(0x82, 0x82, []byte{})
	f(0x82, 0x82, bytes.Repeat([]byte{7}, 126))
	f(0x82, 0x82, bytes.Repeat([]byte{8}, 70_000))
	f(0x01, 0x01, []byte("frag"))
	f(0x80, 0x80, []byte("ment"))
	f(0x89, 0x8A, []byte("ping"))
	f(0x88, 0x88, []byte{0x03, 0xE8})
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after close: got %v, want the connection closed", err)
	}
}

func TestWebSocketRefusals(t *testing.T) {
	f := func(name string, sent []byte, wantCode uint16) {
		t.Helper()
		conn, r := dial(t)
		if _, err := conn.Write(sent); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 4)
		if _, err := io.ReadFull(r, got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if code := binary.BigEndian.Uint16(got[2:]); got[0] != 0x88 || code != wantCode {
			t.Errorf("%s: got opcode %#x, code %d, want close with %d", name, got[0], code, wantCode)
		}
	}
	f("unmasked", []byte{0x81, 0x00}, 1002)
	f("reserved bit", masked(0xC1, nil), 1002)
	f("too big", header(0x82, 0x80, maxBody+1), 1009)
}

func TestWebSocketNeedsUpgrade(t *testing.T) {
	_, web := start(t)
	if resp, _ := send(t, "GET", web.URL+"/ws", ""); resp.StatusCode != 426 {
		t.Errorf("got status %d, want 426", resp.StatusCode)
	}
}
