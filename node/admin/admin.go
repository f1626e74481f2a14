// Package admin is the operators' port: what the cluster looks like, the running
// configuration without its secrets, profiles.
//
// It is closed by default. Without a token it stands on loopback and only reads;
// with one every request must carry it as a bearer token. The Host header must
// be an address or localhost, so that a page in a browser on the same machine
// cannot reach it through a name that resolves to loopback (DNS rebinding). It
// runs on net/http, apart from the data port: profiles and slow readers cost the
// request path nothing.
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Options are the port's settings and what it shows.
type Options struct {
	Addr    string // host:port; port 0 picks a free one
	Token   string // "": loopback only (the configuration's check) and read-only
	Log     zerolog.Logger
	Cluster func() any                  // GET /cluster
	Config  func() any                  // GET /config
	Push    PushFunc                    // POST /cluster/config
	Builtin map[string]http.HandlerFunc // built-in endpoints moved here
}

// Server is a bound admin port.
type Server struct {
	opts Options
	ln   net.Listener
	http *http.Server

	serving sync.WaitGroup
}

// New binds the port and serves nothing yet.
func New(opts Options) (*Server, error) {
	ln, err := net.Listen("tcp", opts.Addr)
	if err != nil {
		return nil, err
	}
	s := &Server{opts: opts, ln: ln}
	s.http = &http.Server{
		Handler:           s.guard(s.routes()),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	return s, nil
}

// Addr returns the bound address.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// Serve starts answering; it returns at once. Close ends it.
func (s *Server) Serve() {
	s.serving.Go(func() {
		if err := s.http.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
			s.opts.Log.Error().Err(err).Msg("admin port failed")
		}
	})
}

// patience is how long requests under way may go on once the port closes; a
// profile of a minute must not hold up the end of the process.
const patience = 500 * time.Millisecond

// Close stops answering. Requests under way have half a second.
func (s *Server) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := s.http.Shutdown(ctx)
	_ = s.ln.Close() // in case it never served
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	s.serving.Wait()
	return err
}

// routes lists the port's endpoints.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cluster", s.json(s.opts.Cluster))
	mux.HandleFunc("GET /config", s.json(s.opts.Config))
	mux.HandleFunc("POST /cluster/config", s.push)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	for path, handler := range s.opts.Builtin {
		mux.HandleFunc("GET "+path, handler)
	}
	return mux
}

// guard lets in who names an acceptable host and shows the token.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		switch {
		case !acceptableHost(r.Host):
			http.Error(w, "Host must be an IP address or localhost", http.StatusMisdirectedRequest)
		case !s.authorized(r.Header.Get("Authorization")):
			w.Header().Set("WWW-Authenticate", `Bearer realm="admin"`)
			http.Error(w, "admin token required", http.StatusUnauthorized)
		case s.opts.Token == "" && r.Method != http.MethodGet && r.Method != http.MethodHead:
			http.Error(w, "read-only without admin.token", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// authorized compares hashes in constant time: neither content nor length of the
// token leaks.
func (s *Server) authorized(header string) bool {
	if s.opts.Token == "" {
		return true
	}
	scheme, token, _ := strings.Cut(header, " ")
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(s.opts.Token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

func acceptableHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || host == "localhost"
}

func (s *Server) json(view func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { s.answer(w, http.StatusOK, view()) }
}

func (s *Server) answer(w http.ResponseWriter, status int, view any) {
	body, err := json.MarshalIndent(view, "", "  ")
	if err != nil {
		s.opts.Log.Error().Err(err).Msg("cannot encode an admin view")
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client is gone
}
