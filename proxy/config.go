package proxy

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-api-gateway-pro/gateway/proxy/breaker"
)

// UpstreamConfig says where a route's requests go and how hard to try.
type UpstreamConfig struct {
	// URL is http or https, a host with an optional port, and an optional path
	// that is put before the path of every request.
	URL string `yaml:"upstream"`
	// StripPrefix is cut off the request's path, whole segments only.
	StripPrefix string `yaml:"strip_prefix"`
	// TimeoutMS bounds a request with all its tries, in milliseconds.
	TimeoutMS int         `yaml:"timeout_ms"`
	Retry     RetryConfig `yaml:"retry"`
	// Breaker must be the same wherever an upstream is named.
	Breaker breaker.Config `yaml:"breaker"`
}

// RetryConfig bounds the tries after the first.
type RetryConfig struct {
	// Attempts counts the tries after the first; 0 turns retries off.
	Attempts int `yaml:"attempts"`
	// BackoffMS is the longest wait before the first retry; it doubles with
	// every further one. The wait itself is drawn between zero and that.
	BackoffMS int `yaml:"backoff_ms"`
}

const (
	maxTimeoutMS = 3_600_000
	maxAttempts  = 10
	maxBackoffMS = 60_000
)

// DefaultUpstreamConfig returns the defaults; URL has none.
func DefaultUpstreamConfig() UpstreamConfig {
	return UpstreamConfig{
		TimeoutMS: 30_000,
		Retry:     RetryConfig{Attempts: 0, BackoffMS: 100},
		Breaker:   breaker.DefaultConfig(),
	}
}

// Validate joins all problems, each beginning with the path of its field.
func (c UpstreamConfig) Validate() error {
	_, urlErr := parseURL(c.URL)
	return errors.Join(
		urlErr,
		checkStripPrefix(c.StripPrefix),
		checkRange("timeout_ms", c.TimeoutMS, 1, maxTimeoutMS),
		checkRange("retry.attempts", c.Retry.Attempts, 0, maxAttempts),
		checkRange("retry.backoff_ms", c.Retry.BackoffMS, 0, maxBackoffMS),
		c.validateBreaker(),
	)
}

func (c UpstreamConfig) validateBreaker() error {
	joined, ok := c.Breaker.Validate().(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var errs []error
	for _, err := range joined.Unwrap() {
		errs = append(errs, fmt.Errorf("breaker.%w", err))
	}
	return errors.Join(errs...)
}

// Targets names the upstreams that requests may go to: scheme, host and port,
// which is what connections and breakers belong to. An invalid URL has none.
func (c UpstreamConfig) Targets() []string {
	addr, err := parseURL(c.URL)
	if err != nil {
		return nil
	}
	return []string{targetKey{addr.tls, addr.host, addr.port}.String()}
}

func checkRange(field string, got, low, high int) error {
	if low <= got && got <= high {
		return nil
	}
	return fmt.Errorf("%s: must be between %d and %d, got %d", field, low, high, got)
}

func checkStripPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	canonical, err := CanonicalPath([]byte(prefix))
	if err != nil || canonical != prefix {
		return fmt.Errorf("strip_prefix: must be a canonical path such as /api/users, got %q", prefix)
	}
	return nil
}

// address is an upstream's URL taken apart.
type address struct {
	tls       bool
	host      string // name or IP, without brackets
	port      uint16
	authority string // what the Host header says
	base      string // path before every request's path, no slash at its end
}

func parseURL(raw string) (address, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return address{}, fmt.Errorf("upstream: must be an http or https URL with a host, got %q", redactURL(u, raw))
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return address{}, fmt.Errorf("upstream: must have no user, query or fragment, got %q", redactURL(u, raw))
	}
	port, err := portOf(u)
	if err != nil {
		return address{}, err
	}
	base := strings.TrimRight(u.EscapedPath(), "/")
	if base != "" {
		if canonical, err := CanonicalPath([]byte(base)); err != nil || canonical != base {
			return address{}, fmt.Errorf("upstream: must have a canonical path, got %q", raw)
		}
	}
	return address{
		tls: u.Scheme == "https", host: strings.ToLower(u.Hostname()), port: port,
		authority: strings.ToLower(u.Host), base: base,
	}, nil
}

// redactURL keeps a password typed into the URL out of the error.
func redactURL(u *url.URL, raw string) string {
	if u == nil {
		return raw[:min(len(raw), len("https://"))] + "…"
	}
	if u.User == nil {
		return raw
	}
	return u.Redacted()
}

func portOf(u *url.URL) (uint16, error) {
	text := u.Port()
	switch {
	case text == "" && u.Scheme == "https":
		return 443, nil
	case text == "":
		return 80, nil
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("upstream: must have a port between 1 and 65535, got %q", text)
	}
	return uint16(port), nil
}
