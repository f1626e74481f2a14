package proxy

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// lookAtFiles is how often a key pair's files are looked at, at most.
const lookAtFiles = time.Second

// KeyPair is a certificate and its key, each in a PEM file. The files are looked
// at during handshakes, so a renewed pair is in use a second later, without
// watching, reloading or restarting; a pair that cannot be read, as while only
// one of the files has been replaced, leaves the old one in use. All methods are
// safe for concurrent use.
type KeyPair struct {
	certFile, keyFile string
	report            func(error) // of a change; nil if the new pair is in use

	mu      sync.Mutex
	current *tls.Certificate
	seen    [2]fileState
	looked  time.Time
}

type fileState struct {
	changed time.Time
	size    int64
}

// NewKeyPair reads the pair. report is told of every later change; nil tells
// nobody.
func NewKeyPair(certFile, keyFile string, report func(error)) (*KeyPair, error) {
	if report == nil {
		report = func(error) {}
	}
	p := &KeyPair{certFile: certFile, keyFile: keyFile, report: report}
	p.seen, p.looked = p.states(), time.Now()
	var err error
	p.current, err = p.load()
	return p, err
}

// Certificate returns the pair in use.
func (p *KeyPair) Certificate() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.looked) >= lookAtFiles {
		p.looked = now
		p.refreshLocked()
	}
	return p.current
}

func (p *KeyPair) refreshLocked() {
	states := p.states()
	if states == p.seen {
		return
	}
	p.seen = states
	next, err := p.load()
	if err == nil {
		p.current = next
	}
	p.report(err)
}

func (p *KeyPair) states() (states [2]fileState) {
	for i, name := range [...]string{p.certFile, p.keyFile} {
		if info, err := os.Stat(name); err == nil {
			states[i] = fileState{info.ModTime(), info.Size()}
		}
	}
	return states
}

func (p *KeyPair) load() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		return nil, fmt.Errorf("cannot use the certificate in %s with the key in %s: %w", p.certFile, p.keyFile, err)
	}
	return &pair, nil
}
