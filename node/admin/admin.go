// Package admin is the operators' port: the cluster page and what it shows, the
// running configuration without its secrets, overrides, pushes, profiles.
//
// It is closed by default. Without a token it stands on loopback and only reads;
// with one every request must carry it, as a bearer token or, from a browser, as
// the cookie that POST /login trades it for. The Host header must be an address,
// localhost or the name the port was given, so that a page in a browser on the
// same machine cannot reach it through a name that resolves to loopback (DNS
// rebinding). All addresses in pages and redirects are relative and the cookie is
// for the folder of the login, so the port works below a prefix of a proxy; any
// node takes a session that another one began. It runs on net/http, apart from the data port: profiles and slow
// readers cost the request path nothing.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Options are the port's settings and what it shows.
type Options struct {
	Addr    string   // host:port; port 0 picks a free one
	Hosts   []string // names the port may be asked by, besides that in Addr
	Token   string   // "": loopback only (the configuration's check) and read-only
	Log     zerolog.Logger
	Now     func() time.Time
	Cluster func() any // GET /cluster and GET /events; must not call Publish
	Config  func() any // GET /config
	// Override is POST /cluster/breakers; its error may wrap breaker.ErrUnknownBackend.
	Override func(Override) error
	Push     PushFunc                    // POST /cluster/config
	Builtin  map[string]http.HandlerFunc // built-in endpoints moved here
}

// Server is a bound admin port.
type Server struct {
	opts Options
	ln   net.Listener
	http *http.Server
	door *door
	feed *feed

	serving sync.WaitGroup
}

// New binds the port and serves nothing yet.
func New(opts Options) (*Server, error) {
	ln, err := net.Listen("tcp", opts.Addr)
	if err != nil {
		return nil, err
	}
	s := &Server{opts: opts, ln: ln, door: newDoor(opts), feed: newFeed(opts.Cluster)}
	s.http = &http.Server{
		Handler:           s.door.guard(s.routes()),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	s.http.RegisterOnShutdown(sync.OnceFunc(func() { close(s.feed.ending) }))
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

// Close stops answering. Pages that are open are told so by the end of their
// stream; other requests under way have half a second.
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
	mux.HandleFunc("GET /{$}", page("page.html"))
	mux.HandleFunc("GET "+pagePath+"{file}", pageFile)
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("GET /login", page("login.html"))
	mux.HandleFunc("POST /login", s.door.login)
	mux.HandleFunc("POST /logout", s.door.logout)
	mux.HandleFunc("GET /cluster", s.json(s.opts.Cluster))
	mux.HandleFunc("GET /config", s.json(s.opts.Config))
	mux.HandleFunc("POST /cluster/breakers", s.override)
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
