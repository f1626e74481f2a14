package telemetry

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/rs/zerolog"
)

// The values of [LogConfig.Access].
const (
	AccessAll    = "all"
	AccessErrors = "errors"
	AccessOff    = "off"
)

const tracesPath = "/v1/traces"

// LogConfig says what is logged.
type LogConfig struct {
	// Level is the least severe level that is written: debug, info, warn or error.
	Level string `yaml:"level"`
	// Access says which requests get a line in the access log: all, errors (status 400 and above) or off.
	Access string `yaml:"access"`
	// AccessSample is the share of the successes (status below 400) that get their line, 0 to 1. Errors are
	// not sampled.
	AccessSample float64 `yaml:"access_sample"`
}

// DefaultLogConfig logs every request and everything from info upwards.
func DefaultLogConfig() LogConfig {
	return LogConfig{Level: zerolog.LevelInfoValue, Access: AccessAll, AccessSample: 1}
}

// Validate returns every problem of the section, joined.
func (c LogConfig) Validate() error {
	return errors.Join(
		oneOf("level", c.Level, "debug", "info", "warn", "error"),
		oneOf("access", c.Access, AccessAll, AccessErrors, AccessOff),
		share("access_sample", c.AccessSample),
	)
}

// LogsAccess reports whether a request that was answered with a status gets a line in the access log. For a
// success it draws from chance, which returns a number from [0, 1), if only a share of them is wanted.
func (c LogConfig) LogsAccess(status int, chance func() float64) bool {
	if status >= 400 {
		return c.Access != AccessOff
	}
	return c.Access == AccessAll && (c.AccessSample >= 1 || chance() < c.AccessSample)
}

func oneOf(field, got string, allowed ...string) error {
	if slices.Contains(allowed, got) {
		return nil
	}
	return fmt.Errorf("%s: must be one of %s, got %q", field, strings.Join(allowed, ", "), got)
}

func share(field string, got float64) error {
	if got >= 0 && got <= 1 { // so written, NaN fails too
		return nil
	}
	return fmt.Errorf("%s: must be between 0 and 1, got %g", field, got)
}

// TraceConfig says where spans go.
type TraceConfig struct {
	// Endpoint is the collector's OTLP/HTTP address: host:port, or a full http or https URL. Without a
	// path /v1/traces is added. Empty: tracing is off.
	Endpoint string `yaml:"endpoint"`
	// ServiceName is the service.name under which the spans appear.
	ServiceName string `yaml:"service_name"`
	// SampleRatio is the share of traces to record, 0 to 1. It also bounds what a client's own sampling
	// decision can demand, unless the client is among the trusted.
	SampleRatio float64 `yaml:"sample_ratio"`
}

// DefaultTraceConfig has tracing off and, once an endpoint is set, records one request in a hundred.
func DefaultTraceConfig() TraceConfig {
	return TraceConfig{ServiceName: "api-gateway", SampleRatio: 0.01}
}

// Validate returns every problem of the section, joined.
func (c TraceConfig) Validate() error {
	var problems []error
	if _, err := c.url(); err != nil {
		problems = append(problems, fmt.Errorf("endpoint: %w", err))
	}
	if c.ServiceName == "" {
		problems = append(problems, errors.New(`service_name: must not be empty, got ""`))
	}
	return errors.Join(append(problems, share("sample_ratio", c.SampleRatio))...)
}

// url returns the address to post spans to, "" when tracing is off.
func (c TraceConfig) url() (string, error) {
	if c.Endpoint == "" {
		return "", nil
	}
	text := c.Endpoint
	if !strings.Contains(text, "://") {
		if _, _, err := net.SplitHostPort(text); err != nil {
			return "", fmt.Errorf("must be host:port or an http(s) URL, got %q", c.Endpoint)
		}
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", errors.New("must be host:port or an http(s) URL, got one that cannot be parsed")
	}
	if u.User != nil {
		return "", errors.New("must not carry a user or password, got both or one of them")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("must be host:port or an http(s) URL without a query, got %q", c.Endpoint)
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = tracesPath
	}
	return u.String(), nil
}
