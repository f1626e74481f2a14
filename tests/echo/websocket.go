package echo

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA

	closeProtocol = 1002
	closeTooBig   = 1009

	acceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455 §1.3
)

// frame is one RFC 6455 frame, unmasked.
type frame struct {
	first   byte // FIN, reserved bits and opcode
	payload []byte
}

// serveWebSocket sends every text and binary frame back as it is, which also
// keeps fragments intact, and answers ping and close.
func serveWebSocket(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || key == "" {
		w.Header().Set("Upgrade", "websocket")
		writeError(w, http.StatusUpgradeRequired, errors.New("upgrade: must be websocket, with a Sec-WebSocket-Key"))
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		writeError(w, http.StatusInternalServerError, errors.New("upgrade: this connection cannot be taken over"))
		return
	}
	defer conn.Close()
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", acceptKey(key))
	for more := rw.Flush() == nil; more; {
		more = echoFrame(rw)
	}
}

func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + acceptSuffix))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// echoFrame reports whether the connection goes on.
func echoFrame(rw *bufio.ReadWriter) bool {
	f, code, err := readFrame(rw)
	if err != nil {
		return false
	}
	switch op := f.first & 0x0F; {
	case code != 0:
		f = frame{first: 0x80 | opClose, payload: binary.BigEndian.AppendUint16(nil, code)}
	case op == opPing:
		f.first = 0x80 | opPong
	case op == opPong:
		return true
	}
	return writeFrame(rw, f) == nil && f.first&0x0F != opClose
}

// readFrame returns a close code instead of a frame that it refuses.
func readFrame(r io.Reader) (frame, uint16, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, 0, err
	}
	size := uint64(head[1] & 0x7F)
	if wide := map[uint64]int{126: 2, 127: 8}[size]; wide > 0 {
		var ext [8]byte
		if _, err := io.ReadFull(r, ext[8-wide:]); err != nil {
			return frame{}, 0, err
		}
		size = binary.BigEndian.Uint64(ext[:])
	}
	if head[1]&0x80 == 0 || head[0]&0x70 != 0 { // a client must mask, and no extension was agreed on
		return frame{}, closeProtocol, nil
	}
	if size > maxBody {
		return frame{}, closeTooBig, nil
	}
	buf := make([]byte, 4+size)
	if _, err := io.ReadFull(r, buf); err != nil {
		return frame{}, 0, err
	}
	mask, payload := buf[:4], buf[4:]
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return frame{first: head[0], payload: payload}, 0, nil
}

func writeFrame(w *bufio.ReadWriter, f frame) error {
	head := []byte{f.first, byte(len(f.payload))}
	switch n := len(f.payload); {
	case n > 0xFFFF:
		head = binary.BigEndian.AppendUint64([]byte{f.first, 127}, uint64(n))
	case n > 125:
		head = binary.BigEndian.AppendUint16([]byte{f.first, 126}, uint16(n))
	}
	_, _ = w.Write(head)
	_, _ = w.Write(f.payload)
	return w.Flush() // reports the errors of both
}
