package auth

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

const (
	jwksRefresh  = 5 * time.Minute  // between fetches while all is well
	jwksInterval = 10 * time.Second // between attempts, whatever asks for them
	fileInterval = 5 * time.Second  // between looks at a key file
	fetchTimeout = 5 * time.Second
	keyPatience  = time.Second // what a request may wait for keys it needs
)

// errRefused marks keys that arrived and were not believed.
var errRefused = errors.New("refused")

// source keeps the keys of one place, a file or a JWKS endpoint, fresh. What cannot be had or believed
// changes nothing: the last good keys stay in use for as long as it takes. An unknown kid asks for a fetch
// ahead of time, at most once in an interval, so that strangers cannot make the gateway hammer the endpoint.
type source struct {
	name     string // what and where
	kind     string // what
	read     func(ctx context.Context) ([]byte, error)
	parse    func(text []byte) ([]key, error)
	refresh  time.Duration
	interval time.Duration
	log      zerolog.Logger
	outcomes sourceMetrics

	keys       atomic.Pointer[[]key] // nil: never had any
	generation atomic.Uint64         // counts changes of keys
	text       []byte                // what keys was parsed from; used by fetch alone

	wanted chan struct{} // somebody misses a key; capacity 1
	stop   context.CancelFunc

	mu        sync.Mutex
	attempted time.Time     // when the last attempt began; zero: never
	underWay  bool          // it has not ended
	failed    bool          // how it ended
	outcome   chan struct{} // closed when the attempt under way, or else the next one, ends
}

func newSource(read func(context.Context) ([]byte, error), parse func([]byte) ([]key, error)) *source {
	return &source{read: read, parse: parse, wanted: make(chan struct{}, 1), outcome: make(chan struct{})}
}

// current returns the keys in use; ok is false as long as there never were any.
func (s *source) current() (keys []key, ok bool) {
	if p := s.keys.Load(); p != nil {
		return *p, true
	}
	return nil, false
}

// run fetches whenever it is time until ctx ends.
func (s *source) run(ctx context.Context) {
	for s.pause(ctx) {
		s.fetch(ctx)
	}
}

// pause waits until the next fetch is due; false: ctx ended.
func (s *source) pause(ctx context.Context) bool {
	timer := time.NewTimer(s.untilNext())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-s.wanted:
			if s.rested() {
				return true
			}
		}
	}
}

func (s *source) untilNext() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.attempted.IsZero():
		return 0
	case s.failed:
		return s.interval
	}
	return s.refresh
}

// rested reports whether the last attempt is an interval ago.
func (s *source) rested() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restedLocked()
}

func (s *source) restedLocked() bool {
	return s.attempted.IsZero() || time.Since(s.attempted) >= s.interval
}

// fetch makes one attempt and tells its outcome.
func (s *source) fetch(ctx context.Context) {
	s.begin()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	err := s.load(ctx)
	s.tell(err)
	s.end(err)
}

func (s *source) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempted, s.underWay = time.Now(), true
}

func (s *source) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.underWay, s.failed = false, err != nil
	close(s.outcome)
	s.outcome = make(chan struct{})
}

// load reads and swaps the keys if they are others than before.
func (s *source) load(ctx context.Context) error {
	text, err := s.read(ctx)
	if err != nil {
		return err
	}
	if s.text != nil && bytes.Equal(text, s.text) {
		return nil
	}
	keys, err := s.parse(text)
	if err != nil {
		return errors.Join(errRefused, err)
	}
	s.text = text
	s.keys.Store(&keys)
	s.generation.Add(1)
	s.log.Info().Int("keys", len(keys)).Msg("verification keys in effect")
	return nil
}

// tell counts an attempt and logs the failed ones.
func (s *source) tell(err error) {
	switch {
	case err == nil:
		keys, _ := s.current()
		s.outcomes.ok(len(keys))
		return
	case errors.Is(err, errRefused):
		s.outcomes.refused.Inc()
	default:
		s.outcomes.failed.Inc()
	}
	s.log.Warn().Err(err).Msg("verification keys not renewed, the old ones stay in use")
}

// await asks for a fetch and waits for its outcome, at most keyPatience. It returns at once when an attempt
// ended less than an interval ago.
func (s *source) await() {
	s.mu.Lock()
	outcome, hopeful := s.outcome, s.underWay || s.restedLocked()
	s.mu.Unlock()
	if !hopeful {
		return
	}
	select {
	case s.wanted <- struct{}{}:
	default: // asked for already
	}
	timer := time.NewTimer(keyPatience)
	defer timer.Stop()
	select {
	case <-outcome:
	case <-timer.C:
	}
}
