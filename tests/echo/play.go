package echo

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
)

// reset writes the beginning of an answer, if any, and resets the connection:
// the client sees ECONNRESET, not an orderly end.
func reset(w http.ResponseWriter, beginning string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		writeError(w, http.StatusInternalServerError, errors.New("reset: this connection cannot be taken over"))
		return
	}
	defer conn.Close()
	if beginning != "" {
		_, _ = conn.Write([]byte(beginning))
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it Close would say goodbye
	}
}

// stream sends server-sent events until they are all out or the client goes.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, p plan) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(p.answerStatus())
	out := http.NewResponseController(w)
	for i := range p.sse {
		if i > 0 && !wait(r, p.every) {
			return
		}
		_, err := fmt.Fprintf(w, "id: %d\ndata: {\"name\":%q,\"n\":%d}\n\n", i+1, s.name, i+1)
		if err != nil || out.Flush() != nil {
			return
		}
	}
}

// writeSize sends n bytes without holding them all.
func writeSize(w http.ResponseWriter, status, n int) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(n))
	w.WriteHeader(status)
	block := bytes.Repeat([]byte("0123456789abcdef"), 2048)
	for n > 0 {
		sent, err := w.Write(block[:min(n, len(block))])
		if err != nil {
			return
		}
		n -= sent
	}
}
