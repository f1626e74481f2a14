package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/go-api-gateway-pro/gateway/auth"
	"github.com/go-api-gateway-pro/gateway/proxy"
	"github.com/go-api-gateway-pro/gateway/proxy/router"
)

// validate checks every section and returns all problems.
func (c *Config) validate() []error {
	var errs []error
	errs = append(errs, under("server", c.Server.Validate())...)
	errs = append(errs, under("admin", c.Admin.Validate())...)
	errs = append(errs, under("redis", c.Redis.Validate())...)
	errs = append(errs, under("cluster", c.Cluster.Validate())...)
	errs = append(errs, under("log", c.Log.Validate())...)
	errs = append(errs, under("otel", c.Otel.Validate())...)
	errs = append(errs, under("jwt", c.JWT.Validate())...)
	errs = append(errs, under("", auth.ValidateAPIKeys(c.APIKeys))...)
	errs = append(errs, under("cors", c.CORS.Validate())...)
	if c.GlobalRateLimit != nil {
		errs = append(errs, under("global_rate_limit", c.GlobalRateLimit.validateGlobal())...)
	}
	for i := range c.Routes {
		errs = append(errs, under(fmt.Sprintf("routes[%d]", i), c.Routes[i].Validate())...)
	}
	return append(errs, c.validateTogether()...)
}

// validateTogether checks what no section can know alone.
func (c *Config) validateTogether() []error {
	var errs []error
	if c.authenticates() && !c.JWT.VerifiesTokens() && len(c.APIKeys) == 0 {
		errs = append(errs, &Problem{
			Path: "jwt.secret",
			Text: "must be set when a route has auth_required: true, or else public_key_file, jwks_url or api_keys, got nothing",
		})
	}
	for i, r := range c.Routes {
		if owner := c.Server.Builtin.owner(r.Path); owner != "" {
			errs = append(errs, &Problem{
				Path: fmt.Sprintf("routes[%d].path", i),
				Text: fmt.Sprintf("must not shadow the built-in %s, got %q", owner, r.Path),
			})
		}
	}
	errs = append(errs, under("", c.validateNames())...)
	upstreams := make([]proxy.UpstreamConfig, len(c.Routes))
	for i, r := range c.Routes {
		upstreams[i] = r.UpstreamConfig
		errs = append(errs, under(fmt.Sprintf("routes[%d]", i), r.fits(c.Server))...)
	}
	errs = append(errs, under("", proxy.CheckShared(upstreams))...)
	if _, err := router.New(c.Matches()); err != nil {
		errs = append(errs, under("", err)...)
	}
	return errs
}

func (c *Config) authenticates() bool {
	return slices.ContainsFunc(c.Routes, func(r Route) bool { return r.Authenticates() })
}

// Matches returns what the router needs of each route, in order.
func (c *Config) Matches() []router.Match {
	out := make([]router.Match, len(c.Routes))
	for i, r := range c.Routes {
		out[i] = router.Match{Path: r.Path, Methods: r.Methods, Hosts: r.Hosts}
	}
	return out
}

// owner returns the built-in endpoint of the data port that path would shadow.
func (b Builtin) owner(path string) string {
	for _, p := range b.DataPaths() {
		if path == p || strings.HasPrefix(path, p+"/") {
			return p
		}
	}
	return ""
}

// DataPaths returns the built-in paths that the data port serves.
func (b Builtin) DataPaths() []string {
	return append([]string{"/health", "/ready"}, b.paths("data")...)
}

// AdminPaths returns the built-in paths that the admin port serves.
func (b Builtin) AdminPaths() []string { return b.paths("admin") }

func (b Builtin) paths(port string) []string {
	var out []string
	for _, e := range []struct{ path, on string }{{"/metrics", b.Metrics}, {"/docs", b.Docs}, {"/openapi.json", b.OpenAPI}} {
		if e.on == port {
			out = append(out, e.path)
		}
	}
	return out
}

// Validate returns every fault of the section.
func (s Server) Validate() error {
	errs := []error{
		host("host", s.Host),
		between("port", s.Port, 0, 65535),
		between("read_timeout_ms", s.ReadTimeoutMS, 1, 3_600_000),
		between("write_timeout_ms", s.WriteTimeoutMS, 1, 3_600_000),
		between("idle_timeout_ms", s.IdleTimeoutMS, 1, 3_600_000),
		between("drain_delay_ms", s.DrainDelayMS, 0, 600_000),
		between("drain_timeout_ms", s.DrainTimeoutMS, 1, 3_600_000),
		between("body_limit_bytes", s.BodyLimitBytes, 1, 1<<30),
		between("max_in_flight", s.MaxInFlight, 0, 1_000_000),
		between("header_limit_bytes", s.HeaderLimitBytes, 1<<10, 1<<20),
		between("max_connections_per_client", s.MaxConnectionsPerClient, 0, 1<<20),
		oneOf("builtin.metrics", s.Builtin.Metrics, "data", "admin", "off"),
		oneOf("builtin.docs", s.Builtin.Docs, "data", "admin", "off"),
		oneOf("builtin.openapi", s.Builtin.OpenAPI, "data", "admin", "off"),
	}
	if s.DrainDelayMS >= s.DrainTimeoutMS {
		errs = append(errs, fmt.Errorf("drain_delay_ms: must be less than drain_timeout_ms (%d), got %d", s.DrainTimeoutMS, s.DrainDelayMS))
	}
	_, err := auth.NewAddresses(s.TrustedProxies, s.IPv6Prefix)
	return errors.Join(append(errs, err, s.TLS.Validate())...)
}

// Validate reads the files, if any.
func (t ServerTLS) Validate() error {
	if (t.CertFile == "") != (t.KeyFile == "") {
		return fmt.Errorf("tls.cert_file: must stand with tls.key_file, got %q and %q", t.CertFile, t.KeyFile)
	}
	if t.CertFile == "" {
		return nil
	}
	if _, err := proxy.NewKeyPair(t.CertFile, t.KeyFile, nil); err != nil {
		return fmt.Errorf("tls.cert_file: %w", err)
	}
	return nil
}

// Validate returns every fault of the section.
func (a Admin) Validate() error {
	errs := []error{hostOrName("host", a.Host), between("port", a.Port, 0, 65535)}
	addr, err := netip.ParseAddr(a.Host)
	loopback := a.Host == "localhost" || err == nil && addr.IsLoopback()
	if a.Token == "" && !loopback {
		errs = append(errs, fmt.Errorf("token: must be set when host is not loopback, got none with host %q", a.Host))
	}
	if a.Token != "" && len(a.Token) < 16 {
		errs = append(errs, fmt.Errorf("token: must have at least 16 characters, got %d", len(a.Token)))
	}
	for i, name := range a.Hosts {
		errs = append(errs, hostOrName(fmt.Sprintf("hosts[%d]", i), name))
	}
	return errors.Join(errs...)
}

// Validate returns every fault of the route.
func (r *Route) Validate() error {
	errs := []error{r.UpstreamConfig.Validate(), r.validateAuth(), r.validateShape()}
	if r.RateLimit != nil && len(r.RateLimits) > 0 {
		errs = append(errs, errors.New("rate_limits: must not stand beside rate_limit, got both"))
	}
	if n := len(r.RateLimits); n > MaxLimits {
		errs = append(errs, fmt.Errorf("rate_limits: must be at most %d, got %d", MaxLimits, n))
	}
	seen := map[string]bool{}
	for i, l := range r.limits() {
		at := r.limitPath(i)
		errs = append(errs, prefixed(at, l.Validate())...)
		if seen[l.suffix()] {
			errs = append(errs, fmt.Errorf("%s.key_by: must differ from the other limits of the route, or its per or name must, got %q again", at, l.KeyBy))
		}
		seen[l.suffix()] = true
	}
	return errors.Join(errs...)
}

func (r *Route) validateAuth() error {
	var errs []error
	if r.AuthRequired && r.AuthOptional {
		errs = append(errs, errors.New("auth_optional: must be false beside auth_required: true, got true"))
	}
	if r.Require != nil {
		if !r.AuthRequired {
			errs = append(errs, errors.New("require: must stand beside auth_required: true, got a route that lets nobody in too"))
		}
		errs = append(errs, prefixed("require", r.Require.Validate())...)
	}
	return errors.Join(errs...)
}

func (r *Route) limitPath(i int) string {
	if r.RateLimit != nil {
		if i == 0 {
			return "rate_limit"
		}
		i--
	}
	return fmt.Sprintf("rate_limits[%d]", i)
}

// Validate returns every fault of the section.
func (c CORS) Validate() error {
	errs := []error{between("max_age_s", c.MaxAgeS, 0, 86_400)}
	for i, o := range c.AllowOrigins {
		if !isOrigin(o) {
			errs = append(errs, fmt.Errorf("allow_origins[%d]: must be * or scheme://host[:port] as browsers write it, got %q", i, o))
		}
	}
	if c.AllowCredentials && slices.Contains(c.AllowOrigins, "*") {
		errs = append(errs, errors.New(`allow_credentials: must be false while allow_origins has "*", got true`))
	}
	for _, list := range []struct {
		name   string
		values []string
	}{{"allow_methods", c.AllowMethods}, {"allow_headers", c.AllowHeaders}, {"expose_headers", c.ExposeHeaders}} {
		for i, v := range list.values {
			switch {
			case !isToken(v):
				errs = append(errs, fmt.Errorf("%s[%d]: must be an HTTP token, got %q", list.name, i, v))
			case v == "*" && c.AllowCredentials:
				errs = append(errs, fmt.Errorf(`%s[%d]: must be a name beside allow_credentials: true, where "*" means itself`, list.name, i))
			}
		}
	}
	return errors.Join(errs...)
}

// isOrigin takes an origin as browsers write it: in lower case and without the
// scheme's own port. Any other spelling would never match.
func isOrigin(s string) bool {
	if s == "*" {
		return true
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || s != u.Scheme+"://"+u.Host {
		return false
	}
	defaultPort := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	return s == strings.ToLower(s) && !strings.ContainsAny(s, "*@") && u.Port() != defaultPort && !strings.HasSuffix(s, ":")
}

// isToken reports whether s is a token of RFC 9110 §5.6.2.
func isToken(s string) bool {
	const special = "!#$%&'*+-.^_`|~"
	for _, r := range s {
		alnum := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		if !alnum && !strings.ContainsRune(special, r) {
			return false
		}
	}
	return s != ""
}

func between(path string, v, low, high int) error {
	if v < low || v > high {
		return fmt.Errorf("%s: must be between %d and %d, got %d", path, low, high, v)
	}
	return nil
}

func oneOf(path, v string, allowed ...string) error {
	if !slices.Contains(allowed, v) {
		return fmt.Errorf("%s: must be one of %s, got %q", path, strings.Join(allowed, ", "), v)
	}
	return nil
}

func host(path, v string) error {
	if _, err := netip.ParseAddr(v); err != nil && v != "localhost" {
		return fmt.Errorf("%s: must be an IP address or localhost, got %q", path, v)
	}
	return nil
}

// hostOrName takes a DNS name too, which the Host header must then name.
func hostOrName(path, v string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-."
	isName := v != "" && strings.Trim(v, letters) == "" && strings.Trim(v, "0123456789.") != ""
	if host(path, v) != nil && !isName {
		return fmt.Errorf("%s: must be an IP address or a host name, got %q", path, v)
	}
	return nil
}

// prefixed puts a section's path before each joined error.
func prefixed(section string, err error) []error {
	var out []error
	for _, e := range flatten(err) {
		out = append(out, fmt.Errorf("%s.%w", section, e))
	}
	return out
}
