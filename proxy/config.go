package proxy

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/proxy/breaker"
	"github.com/go-api-gateway-pro/gateway/proxy/router"
)

// UpstreamConfig says where a route's requests go and how hard to try.
type UpstreamConfig struct {
	// URL is http or https, a host with an optional port, and an optional path
	// that is put before the path of every request.
	URL string `yaml:"upstream"`
	// Upstreams is several of them, instead of URL.
	Upstreams []WeightedURL `yaml:"upstreams"`
	// Balance is p2c, round_robin or hash.
	Balance string `yaml:"balance"`
	// HashBy is what hash goes by: ip, user or header:NAME.
	HashBy string `yaml:"hash_by"`
	// StripPrefix is cut off the request's path, whole segments only.
	StripPrefix string `yaml:"strip_prefix"`
	// PreserveHost passes the client's Host header on.
	PreserveHost bool `yaml:"preserve_host"`
	// TimeoutMS bounds a request with all its tries, in milliseconds.
	TimeoutMS int `yaml:"timeout_ms"`
	// IdleTimeoutMS bounds, in milliseconds, the silence of a body that is
	// streamed and of a WebSocket. Nothing else bounds how long these last.
	IdleTimeoutMS int         `yaml:"idle_timeout_ms"`
	Retry         RetryConfig `yaml:"retry"`
	// Breaker, Connections and HealthCheck belong to the upstream: where several
	// routes name it, those that leave them out share those of the one that does not.
	Breaker        *breaker.Config    `yaml:"breaker"`
	Connections    *ConnectionsConfig `yaml:"connections"`
	HealthCheck    *HealthCheckConfig `yaml:"health_check"`
	RequestHeaders HeaderRules        `yaml:"request_headers"`
	// TLS is for https URLs.
	TLS TLSConfig `yaml:"upstream_tls"`
}

// WeightedURL is one of several upstreams of a route.
type WeightedURL struct {
	URL string `yaml:"url"`
	// Weight is the share of each address of the URL's name, relative to the others.
	Weight int `yaml:"weight"`
}

// SetDefaults gives a new list element its weight.
func (w *WeightedURL) SetDefaults() { w.Weight = 1 }

// RetryConfig bounds the tries after the first.
type RetryConfig struct {
	// Attempts counts the tries after the first; 0 turns retries off.
	Attempts int `yaml:"attempts"`
	// BackoffMS is the longest wait before the first retry; it doubles with
	// every further one. The wait itself is drawn between zero and that.
	BackoffMS int `yaml:"backoff_ms"`
	// TryTimeoutMS bounds one try. 0: half of the time left while another address
	// could take over, else all of it.
	TryTimeoutMS int `yaml:"try_timeout_ms"`
	// Methods may be sent again after the upstream may have seen them; others
	// only if not a byte was written.
	Methods []string `yaml:"methods"`
	// Statuses are the answers after which another try is made.
	Statuses []int `yaml:"statuses"`
	// BudgetRatio bounds the retries of an upstream, in parts of its requests.
	BudgetRatio float64 `yaml:"budget_ratio"`
}

// ConnectionsConfig bounds what one address has to bear.
type ConnectionsConfig struct {
	// Max is how many connections an address gets, which is how many requests it
	// sees at once.
	Max int `yaml:"max"`
	// WaitMS is how long a request waits for one of them to become free; at most
	// Max requests wait. 0: not at all.
	WaitMS int `yaml:"wait_ms"`
}

// SetDefaults gives a section that is there its defaults.
func (c *ConnectionsConfig) SetDefaults() { *c = ConnectionsConfig{Max: 1024, WaitMS: 100} }

// HealthCheckConfig is how addresses are asked whether they are well.
type HealthCheckConfig struct {
	// Path is requested with GET, as it stands; an answer of 200 to 399 is health.
	Path string `yaml:"path"`
	// IntervalMS is the time between two checks, give or take a tenth.
	IntervalMS int `yaml:"interval_ms"`
	// TimeoutMS bounds one check.
	TimeoutMS int `yaml:"timeout_ms"`
}

// SetDefaults gives a section that is there its defaults.
func (c *HealthCheckConfig) SetDefaults() { *c = HealthCheckConfig{IntervalMS: 5000, TimeoutMS: 1000} }

const (
	maxTimeoutMS   = 3_600_000
	maxAttempts    = 10
	maxBackoffMS   = 60_000
	maxWeight      = 1_000
	maxUpstreams   = 100
	maxConnections = 100_000
)

// DefaultUpstreamConfig returns the defaults; URL has none.
func DefaultUpstreamConfig() UpstreamConfig {
	return UpstreamConfig{
		Balance:   balanceP2C,
		HashBy:    hashByIP,
		TimeoutMS: 30_000, IdleTimeoutMS: 300_000,
		Retry: RetryConfig{
			Attempts: 0, BackoffMS: 100, BudgetRatio: 0.2,
			Methods:  []string{"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"},
			Statuses: []int{fasthttp.StatusBadGateway, fasthttp.StatusServiceUnavailable, fasthttp.StatusGatewayTimeout},
		},
	}
}

// Validate joins all problems, each beginning with the path of its field.
func (c UpstreamConfig) Validate() error {
	return errors.Join(
		c.checkURLs(),
		checkBalance(c.Balance, c.HashBy),
		checkStripPrefix(c.StripPrefix),
		checkRange("timeout_ms", c.TimeoutMS, 1, maxTimeoutMS),
		checkRange("idle_timeout_ms", c.IdleTimeoutMS, 1, 24*maxTimeoutMS),
		c.Retry.validate(),
		c.checkBreaker(),
		c.Connections.validate(),
		c.HealthCheck.validate(),
		c.RequestHeaders.validate("request_headers"),
		under("upstream_tls", c.TLS.Validate()),
	)
}

// under puts a section before every problem in it.
func under(section string, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var errs []error
	for _, problem := range joined.Unwrap() {
		errs = append(errs, fmt.Errorf("%s.%w", section, problem))
	}
	return errors.Join(errs...)
}

// urls lists the route's upstreams, whichever of the two keys holds them.
func (c UpstreamConfig) urls() []WeightedURL {
	if len(c.Upstreams) > 0 {
		return c.Upstreams
	}
	return []WeightedURL{{URL: c.URL, Weight: 1}}
}

func (c UpstreamConfig) checkURLs() error {
	if len(c.Upstreams) == 0 {
		_, err := parseURL(c.URL)
		return inField("upstream", err)
	}
	errs := []error{checkRange("upstreams", len(c.Upstreams), 1, maxUpstreams)}
	if c.URL != "" {
		errs = append(errs, errors.New("upstreams: must not stand beside upstream, got both"))
	}
	seen := map[targetKey]int{}
	for i, w := range c.Upstreams {
		at := fmt.Sprintf("upstreams[%d]", i)
		a, err := parseURL(w.URL)
		errs = append(errs, inField(at+".url", err), checkRange(at+".weight", w.Weight, 1, maxWeight))
		if first, twice := seen[a.key()]; twice && err == nil {
			errs = append(errs, fmt.Errorf("%s.url: must be another host or port than that of upstreams[%d], got %q", at, first, w.URL))
		}
		seen[a.key()] = i
	}
	return errors.Join(errs...)
}

func (c UpstreamConfig) checkBreaker() error {
	if c.Breaker == nil {
		return nil
	}
	return under("breaker", c.Breaker.Validate())
}

func inField(field string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", field, err)
}

func (c RetryConfig) validate() error {
	errs := []error{
		checkRange("retry.attempts", c.Attempts, 0, maxAttempts),
		checkRange("retry.backoff_ms", c.BackoffMS, 0, maxBackoffMS),
		checkRange("retry.try_timeout_ms", c.TryTimeoutMS, 0, maxTimeoutMS),
	}
	for i, method := range c.Methods {
		errs = append(errs, inField(fmt.Sprintf("retry.methods[%d]", i), router.CheckMethod(method)))
	}
	for i, status := range c.Statuses {
		errs = append(errs, checkRange(fmt.Sprintf("retry.statuses[%d]", i), status, 400, 599))
	}
	if c.BudgetRatio < 0 || c.BudgetRatio > 1 {
		errs = append(errs, fmt.Errorf("retry.budget_ratio: must be between 0 and 1, got %v", c.BudgetRatio))
	}
	return errors.Join(errs...)
}

func (c *ConnectionsConfig) validate() error {
	if c == nil {
		return nil
	}
	return errors.Join(
		checkRange("connections.max", c.Max, 1, maxConnections),
		checkRange("connections.wait_ms", c.WaitMS, 0, maxTimeoutMS),
	)
}

func (c *HealthCheckConfig) validate() error {
	if c == nil {
		return nil
	}
	errs := []error{
		checkRange("health_check.interval_ms", c.IntervalMS, 100, maxTimeoutMS),
		checkRange("health_check.timeout_ms", c.TimeoutMS, 1, c.IntervalMS),
	}
	path, query, _ := strings.Cut(c.Path, "?")
	canonical, err := router.CanonicalPath([]byte(path))
	if err != nil || canonical != path || strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
		errs = append(errs, fmt.Errorf("health_check.path: must be a canonical path such as /health, got %q", c.Path))
	}
	return errors.Join(errs...)
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
	canonical, err := router.CanonicalPath([]byte(prefix))
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

func (a address) key() targetKey { return targetKey{tls: a.tls, host: a.host, port: a.port} }

// parseURL's errors say what is wrong, not where the URL stands.
func parseURL(raw string) (address, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return address{}, fmt.Errorf("must be an http or https URL with a host, got %q", redactURL(u, raw))
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return address{}, fmt.Errorf("must have no user, query or fragment, got %q", redactURL(u, raw))
	}
	port, err := portOf(u)
	if err != nil {
		return address{}, err
	}
	base := strings.TrimRight(u.EscapedPath(), "/")
	if base != "" {
		if canonical, err := router.CanonicalPath([]byte(base)); err != nil || canonical != base {
			return address{}, fmt.Errorf("must have a canonical path, got %q", raw)
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
		return 0, fmt.Errorf("must have a port between 1 and 65535, got %q", text)
	}
	return uint16(port), nil
}
