package push

import (
	"errors"
	"time"
)

// ErrMoved is what Candidate.Commit returns if this node no longer runs what
// the push was based on. It will not be asked again.
var ErrMoved = errors.New("no longer runs what the push was based on")

// Plan is what a member is asked to prepare.
type Plan struct {
	Push string // identifies the push: 16 hexadecimal digits
	Base string // hash of what every member must run
	Text []byte // as the operator sent it; at most MaxText bytes
}

// Config is this node's own configuration. Prepare and the methods of candidates
// are called one at a time; they may block, but while they do, this member
// answers nobody.
type Config interface {
	// Running returns the hash of what this node runs. It is called from any
	// goroutine and must not wait for the others.
	Running() string

	// Prepare does everything that can fail, so that only Commit is left. What it
	// leaves on disk must survive a crash. Until Release, Commit or Drop nothing
	// else may change the configuration. The error joins all faults and is shown
	// to the operator: it must hold no secret.
	Prepare(Plan) (Candidate, error)
}

// Candidate is a prepared configuration.
type Candidate interface {
	// Hash identifies it; the same on every member.
	Hash() string

	// Commit lets it take effect, on disk first. After an error the old one goes
	// on as a whole; ErrMoved is final, others are tried again.
	Commit() error

	// Release allows other changes again; Commit may still come.
	Release()

	// Drop forgets it, on disk too.
	Drop()
}

// Leftover is a candidate that this node had prepared before it was restarted.
type Leftover struct {
	Push      string
	Base      string
	Prepared  time.Time
	Candidate Candidate
}
