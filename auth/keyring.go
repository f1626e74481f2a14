package auth

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Keyring holds the public keys that tokens are verified with, and the series that count what came of them.
// It outlives Verifiers: a reload that still names a key file or a JWKS endpoint finds its keys in place. It
// is safe for concurrent use.
type Keyring struct {
	client  *http.Client
	log     zerolog.Logger
	metrics metrics
	alive   context.Context
	close   context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	sources map[string]*source // in use, by what and where: "file /keys.pem"
}

// Where keys come from, as metrics name it.
const (
	kindFile = "file"
	kindJWKS = "jwks"
)

// KeyringOptions are a Keyring's dependencies.
type KeyringOptions struct {
	// Client fetches JWKS documents. It should not follow redirects: they could lead out of TLS.
	Client     *http.Client
	Log        zerolog.Logger
	Registerer prometheus.Registerer
}

// NewKeyring returns an empty Keyring. Close ends what it will start.
func NewKeyring(opts KeyringOptions) *Keyring {
	k := &Keyring{client: opts.Client, log: opts.Log, metrics: newMetrics(opts.Registerer), sources: map[string]*source{}}
	k.alive, k.close = context.WithCancel(context.Background())
	return k
}

// Close stops renewing keys. Verifiers go on with those they have.
func (k *Keyring) Close() {
	k.close()
	k.running.Wait()
}

// Retain starts to renew the keys that v needs and stops for all others. It is called when v comes into use.
func (k *Keyring) Retain(v *Verifier) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, s := range k.sources {
		if !slices.Contains(v.sources, s) {
			s.stop()
			delete(k.sources, name)
		}
	}
	used := map[string]bool{}
	for _, s := range v.sources {
		used[s.kind] = true
		if k.sources[s.name] == nil {
			k.startLocked(s)
		}
	}
	for _, kind := range []string{kindFile, kindJWKS} {
		if !used[kind] {
			k.metrics.forget(kind)
		}
	}
}

func (k *Keyring) startLocked(s *source) {
	var ctx context.Context
	ctx, s.stop = context.WithCancel(k.alive)
	k.sources[s.name] = s
	k.running.Go(func() { s.run(ctx) })
}

// open returns the sources that a Config names: those in use, else new ones, which do nothing before Retain.
// A key file must be readable and good; an endpoint may be down.
func (k *Keyring) open(c Config) ([]*source, error) {
	var sources []*source
	if c.PublicKeyFile != "" {
		s := k.source(kindFile, c.PublicKeyFile, func() *source {
			fresh := newSource(readFile(c.PublicKeyFile), parsePEM)
			fresh.refresh, fresh.interval = fileInterval, fileInterval
			return fresh
		})
		if _, ok := s.current(); !ok {
			if err := s.load(k.alive); err != nil {
				return nil, fmt.Errorf("public_key_file: %w", err)
			}
		}
		sources = append(sources, s)
	}
	if c.JWKSURL != "" {
		sources = append(sources, k.source(kindJWKS, c.JWKSURL, func() *source {
			fresh := newSource(fetchJWKS(k.client, c.JWKSURL), parseJWKS)
			fresh.refresh, fresh.interval = jwksRefresh, jwksInterval
			return fresh
		}))
	}
	return sources, nil
}

// source returns the one in use for a place, or a fresh one.
func (k *Keyring) source(kind, place string, fresh func() *source) *source {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := kind + " " + place
	if s := k.sources[name]; s != nil {
		return s
	}
	s := fresh()
	s.name, s.kind = name, kind
	s.outcomes = k.metrics.source(kind)
	s.log = k.log.With().Str("source", name).Logger()
	return s
}

func readFile(path string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		return readBounded(file)
	}
}

// CheckKeyFile returns what is wrong with the key file, if the Config names one.
func (c Config) CheckKeyFile() error {
	if c.PublicKeyFile == "" {
		return nil
	}
	text, err := readFile(c.PublicKeyFile)(context.Background())
	if err != nil {
		return fmt.Errorf("public_key_file: %w", err)
	}
	if _, err := parsePEM(bytes.TrimSpace(text)); err != nil {
		return fmt.Errorf("public_key_file: %w", err)
	}
	return nil
}
