// Package echo is the upstream the gateway is tested against. It answers
// with what it received and, when asked to, plays the failures of a real
// service: slow answers, error statuses, connections reset before or amid an
// answer, streams, trailers and WebSockets.
//
// What to play comes with the request, as query parameters or as headers, so
// that a test needs no second channel and two tests can share one upstream:
//
//	delay_ms=N           answer after N ms
//	status=N             answer with this status
//	fail=N               only the first N requests with this N to this path fail as asked (503 unless asked otherwise)
//	reset=1, reset=mid   reset the connection before, or in the middle of, the answer
//	size=N               N bytes instead of JSON
//	sse=N, every_ms=M    N server-sent events, M ms apart
//	close=1              close the connection after the answer
//	trailers=1           send trailers
//
// The header for delay_ms is X-Echo-Delay-Ms, and so on; the query wins. POST
// /_fail with the same parameters makes every request fail that way until POST
// /_heal. GET /health answers 200 all the while, and GET /ws is a WebSocket
// that sends every message back.
//
// It trusts whoever can reach it and must not face the public.
package echo

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

const (
	maxBody   = 1 << 20 // bytes of a request's body that are echoed
	maxCounts = 100_000 // paths, and request ids, that are counted
)

// Answer is the JSON that a plain request gets.
type Answer struct {
	Name         string              `json:"name"`
	Method       string              `json:"method"`
	Path         string              `json:"path"` // decoded
	URI          string              `json:"uri"`  // as sent
	Proto        string              `json:"proto"`
	Host         string              `json:"host"`
	Remote       string              `json:"remote"`
	Query        map[string][]string `json:"query"`
	Headers      map[string][]string `json:"headers"`
	Trailers     map[string][]string `json:"trailers,omitempty"`
	Body         string              `json:"body"`
	BodyEncoding string              `json:"body_encoding,omitempty"` // "base64" where the body is not UTF-8
	BodyBytes    int64               `json:"body_bytes"`              // received; Body holds the first MiB
}

// Server is one echo upstream. It may serve any number of requests at once.
type Server struct {
	name    string
	mux     *http.ServeMux
	failing atomic.Pointer[plan] // nil: healthy

	mu    sync.Mutex // guards the fields below
	total int
	paths map[string]int
	ids   map[string]int
	fails map[string]int // failures played so far, by path and N
}

// New returns an upstream that calls itself name.
func New(name string) *Server {
	s := &Server{
		name:  name,
		mux:   http.NewServeMux(),
		paths: make(map[string]int),
		ids:   make(map[string]int),
		fails: make(map[string]int),
	}
	s.mux.HandleFunc("GET /health", s.health)
	s.mux.HandleFunc("POST /_fail", s.fail)
	s.mux.HandleFunc("POST /_heal", s.heal)
	return s
}

// Handler is New for those who need not count.
func Handler(name string) http.Handler { return New(name) }

// Count is the number of requests so far, failed ones included, without those
// to /health, /_fail and /_heal.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// CountPath is Count for one path. The first 100,000 paths are counted.
func (s *Server) CountPath(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paths[path]
}

// CountID is the number of requests that came with this X-Request-Id, which
// shows retries. The first 100,000 ids are counted.
func (s *Server) CountID(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[id]
}

// ServeHTTP answers one request. Paths are taken as they come: they are not
// cleaned, since a test may want to see what the gateway made of one.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/health", "/_fail", "/_heal":
		s.mux.ServeHTTP(w, r)
		return
	}
	s.count(r)
	p, err := parsePlan(r)
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	if broken := s.failing.Load(); broken != nil {
		p = *broken
	}
	s.play(w, r, p)
}

func (s *Server) count(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	bump(s.paths, r.URL.Path)
	if id := r.Header.Get("X-Request-Id"); id != "" {
		bump(s.ids, id)
	}
}

func bump(counts map[string]int, key string) {
	if _, known := counts[key]; known || len(counts) < maxCounts {
		counts[key]++
	}
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"name": s.name, "status": "ok"})
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request) {
	p, err := parsePlan(r)
	if err == nil && !p.fails() {
		err = errors.New("_fail: needs one of status, reset, delay_ms, got none")
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	s.failing.Store(&p)
	writeJSON(w, http.StatusOK, map[string]string{"name": s.name, "state": "failing"})
}

func (s *Server) heal(w http.ResponseWriter, _ *http.Request) {
	s.failing.Store(nil)
	writeJSON(w, http.StatusOK, map[string]string{"name": s.name, "state": "healthy"})
}

// play does what the plan says, in the order in which a real service would
// break: late, not at all, wrongly, and only then well.
func (s *Server) play(w http.ResponseWriter, r *http.Request, p plan) {
	if p.fail > 0 {
		p = s.countdown(r, p)
	}
	if !wait(r, p.delay) {
		return
	}
	if p.close {
		w.Header().Set("Connection", "close")
	}
	switch {
	case p.reset == resetBefore:
		reset(w, "")
	case p.reset == resetMid:
		reset(w, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\nthis answer ends here")
	case r.URL.Path == "/ws" && p.status == 0:
		serveWebSocket(w, r)
	case p.sse > 0:
		s.stream(w, r, p)
	case p.sized:
		writeSize(w, p.answerStatus(), p.size)
	default:
		s.echo(w, r, p)
	}
}

// countdown leaves the plan's failures in it while there are some to play.
func (s *Server) countdown(r *http.Request, p plan) plan {
	key := r.URL.Path + " " + strconv.Itoa(p.fail)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails[key] >= p.fail {
		p.delay, p.status, p.reset = 0, 0, ""
		return p
	}
	bump(s.fails, key)
	if !p.fails() {
		p.status = http.StatusServiceUnavailable
	}
	return p
}

func (s *Server) echo(w http.ResponseWriter, r *http.Request, p plan) {
	body, encoding, n, err := readBody(r.Body)
	if err != nil {
		writeError(w, http.StatusBadRequest, fmt.Errorf("body: cannot be read after %d bytes", n))
		return
	}
	if p.trailers {
		w.Header().Set("Trailer", "X-Echo-Name, X-Echo-Body-Bytes")
	}
	writeJSON(w, p.answerStatus(), Answer{
		Name: s.name, Method: r.Method, Path: r.URL.Path, URI: r.RequestURI, Proto: r.Proto,
		Host: r.Host, Remote: r.RemoteAddr, Query: r.URL.Query(),
		Headers: r.Header, Trailers: r.Trailer, Body: body, BodyEncoding: encoding, BodyBytes: n,
	})
	if p.trailers {
		w.Header().Set("X-Echo-Name", s.name)
		w.Header().Set("X-Echo-Body-Bytes", strconv.FormatInt(n, 10))
	}
}

// readBody returns the first MiB, as text or in base64, and the whole length.
func readBody(r io.Reader) (body, encoding string, n int64, err error) {
	head, err := io.ReadAll(io.LimitReader(r, maxBody))
	n = int64(len(head))
	if err != nil {
		return "", "", n, err
	}
	rest, err := io.Copy(io.Discard, r)
	n += rest
	if utf8.Valid(head) {
		return string(head), "", n, err
	}
	return base64.StdEncoding.EncodeToString(head), "base64", n, err
}

// wait reports false if the client went away.
func wait(r *http.Request, d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails only if the client is gone
}

func writeError(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, map[string]string{"error": err.Error()})
}
