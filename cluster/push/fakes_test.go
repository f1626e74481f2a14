package push

import (
	"errors"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func zerologFor(t *testing.T) zerolog.Logger { return zerolog.New(t.Output()) }

// brokenDisk is a candidate that cannot be written while broken.
type brokenDisk struct {
	broken   bool
	released int
}

func (b *brokenDisk) Hash() string { return "hash" }
func (b *brokenDisk) Commit() error {
	if b.broken {
		return errors.New("disk full")
	}
	return nil
}
func (b *brokenDisk) Release() { b.released++ }
func (b *brokenDisk) Drop()    {}
