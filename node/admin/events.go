package admin

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

const (
	// maxListeners bounds how many pages may be open on one node.
	maxListeners = 32
	// sendLimit is how long a listener may take to receive one state.
	sendLimit = 5 * time.Second
)

// feed tells the state of the cluster to everybody who listens. A state is
// composed once, however many listen, and not at all if nobody does. Safe for
// concurrent use.
type feed struct {
	compose func() any
	ending  chan struct{} // closed when the port closes

	mu        sync.Mutex // guards the fields below
	listeners int
	message   []byte        // nil: to be composed
	changed   chan struct{} // closed when message is old
}

func newFeed(compose func() any) *feed {
	return &feed{compose: compose, ending: make(chan struct{}), changed: make(chan struct{})}
}

// publish says that the state has changed.
func (f *feed) publish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.message = nil
	close(f.changed)
	f.changed = make(chan struct{})
}

// current returns the state as one event, and what is closed when it is old.
func (f *feed) current() (message []byte, changed <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.message == nil {
		state, err := json.Marshal(f.compose())
		if err != nil {
			return nil, nil, err
		}
		f.message = append(append([]byte("data: "), state...), "\n\n"...)
	}
	return f.message, f.changed, nil
}

// join takes one of the places there are.
func (f *feed) join() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listeners >= maxListeners {
		return false
	}
	f.listeners++
	return true
}

func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners--
}

// Publish sends the state to all pages that are open. It is meant to be called
// once a second, waits for nobody and costs nothing while no page is open.
func (s *Server) Publish() { s.feed.publish() }

// events answers GET /events: one full state after the other, until the client
// goes, its session or the port ends, or it is too slow to take one.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if !s.feed.join() {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many pages are open on this node", http.StatusServiceUnavailable)
		return
	}
	defer s.feed.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy that gathers bytes would hold the state back
	if r.Method == http.MethodHead {
		return
	}
	out := http.NewResponseController(w)
	for s.door.recognise(r) != nobody {
		message, changed, err := s.feed.current()
		if err != nil {
			s.opts.Log.Error().Err(err).Msg("cannot encode the cluster's state")
			return
		}
		_ = out.SetWriteDeadline(time.Now().Add(sendLimit)) // net/http supports it
		if _, err := w.Write(message); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-s.feed.ending:
			return
		case <-r.Context().Done():
			return
		}
	}
}
