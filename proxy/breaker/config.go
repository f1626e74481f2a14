package breaker

import (
	"errors"
	"fmt"
	"time"
)

// Config says when a backend is left out. It belongs to an upstream.
type Config struct {
	// Failures in a row open the breaker.
	Failures int `yaml:"failures"`
	// FailureRatio opens it too, once this share of the requests in the window
	// failed and Failures of them did, in a row or not. 0 turns it off.
	FailureRatio float64 `yaml:"failure_ratio"`
	// WindowMS is how far back FailureRatio looks.
	WindowMS int `yaml:"window_ms"`
	// OpenMS is how long it stays open before one request tries.
	OpenMS int `yaml:"open_ms"`
}

const (
	maxFailures = 1_000
	minWindowMS = 100
	maxWindowMS = 600_000
	maxOpenMS   = 3_600_000
)

// DefaultConfig returns five failures in a row, no ratio, and five seconds.
func DefaultConfig() Config {
	return Config{Failures: 5, WindowMS: 10_000, OpenMS: 5_000}
}

// Validate joins all problems, each beginning with the name of its field.
func (c Config) Validate() error {
	var ratio error
	if !(0 <= c.FailureRatio && c.FailureRatio <= 1) { // also refuses what is no number
		ratio = fmt.Errorf("failure_ratio: must be between 0 and 1, got %v", c.FailureRatio)
	}
	return errors.Join(
		between("failures", c.Failures, 1, maxFailures),
		ratio,
		between("window_ms", c.WindowMS, minWindowMS, maxWindowMS),
		between("open_ms", c.OpenMS, 1, maxOpenMS),
	)
}

func between(field string, got, low, high int) error {
	if low <= got && got <= high {
		return nil
	}
	return fmt.Errorf("%s: must be between %d and %d, got %d", field, low, high, got)
}

// SetDefaults gives a section that is there its defaults.
func (c *Config) SetDefaults() { *c = DefaultConfig() }

func (c Config) openFor() time.Duration { return time.Duration(c.OpenMS) * time.Millisecond }

func (c Config) windowLength() time.Duration { return time.Duration(c.WindowMS) * time.Millisecond }
