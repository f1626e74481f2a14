// Package config composes what the gateway's packages let users set into one
// file, decodes it strictly and reports every fault at once with its path.
//
// Each package owns its own settings, their defaults and their checks; this one
// only puts them together. Unknown keys are errors, never ignored. ${NAME} and
// ${NAME:-default} are expanded after parsing, inside any scalar, so no secret
// needs to stand in the file.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/go-api-gateway-pro/gateway/auth"
	"github.com/go-api-gateway-pro/gateway/cluster"
	"github.com/go-api-gateway-pro/gateway/limiter"
	"github.com/go-api-gateway-pro/gateway/proxy"
	"github.com/go-api-gateway-pro/gateway/telemetry"
)

// Config is a whole configuration file. Server, Admin, Redis, Cluster, Log and
// Otel belong to one node; the rest is meant to be equal on every node.
type Config struct {
	Server          Server                `yaml:"server"`
	Admin           Admin                 `yaml:"admin"`
	Redis           limiter.Config        `yaml:"redis"`
	Cluster         cluster.Config        `yaml:"cluster"`
	Log             telemetry.LogConfig   `yaml:"log"`
	Otel            telemetry.TraceConfig `yaml:"otel"`
	JWT             auth.Config           `yaml:"jwt"`
	APIKeys         []auth.APIKey         `yaml:"api_keys"`
	CORS            CORS                  `yaml:"cors"`
	GlobalRateLimit *RateLimit            `yaml:"global_rate_limit"`
	Routes          []Route               `yaml:"routes"`

	hash   string
	source *source
}

// Server is the data port. Host, port, limits and timeouts are fixed at start.
type Server struct {
	Host             string `yaml:"host"`
	Port             int    `yaml:"port"` // 0 picks a free one
	ReadTimeoutMS    int    `yaml:"read_timeout_ms"`
	WriteTimeoutMS   int    `yaml:"write_timeout_ms"`
	IdleTimeoutMS    int    `yaml:"idle_timeout_ms"`
	DrainDelayMS     int    `yaml:"drain_delay_ms"`   // how long the listener stays open after /ready failed
	DrainTimeoutMS   int    `yaml:"drain_timeout_ms"` // the whole shutdown, the delay included
	BodyLimitBytes   int    `yaml:"body_limit_bytes"`
	MaxInFlight      int    `yaml:"max_in_flight"` // requests at once; 0: no limit
	HeaderLimitBytes int    `yaml:"header_limit_bytes"`
	// MaxConnectionsPerClient bounds the connections of one address, or of one
	// IPv6 network of IPv6Prefix bits; trusted proxies are exempt. 0: no bound.
	MaxConnectionsPerClient int       `yaml:"max_connections_per_client"`
	TrustedProxies          []string  `yaml:"trusted_proxies"`
	IPv6Prefix              int       `yaml:"ipv6_prefix"` // bits by which IPv6 addresses are limited
	TLS                     ServerTLS `yaml:"tls"`
	Builtin                 Builtin   `yaml:"builtin"`
}

// ServerTLS are the files of the data port's certificate and key, in PEM; none:
// no TLS. Renewed files take effect by themselves.
type ServerTLS struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// Builtin says on which port a built-in endpoint stands: data, admin or off.
type Builtin struct {
	Metrics string `yaml:"metrics"`
	Docs    string `yaml:"docs"`
	OpenAPI string `yaml:"openapi"`
}

// Admin is the operators' port. Without a token it must be on loopback.
type Admin struct {
	Host  string   `yaml:"host"`  // an address, or a name that clients call the port by
	Port  int      `yaml:"port"`  // 0 picks a free one
	Hosts []string `yaml:"hosts"` // further names to be called by, such as a proxy's in front
	Token string   `yaml:"token"`
}

// Route is one path and what happens to requests on it.
type Route struct {
	Path         string            `yaml:"path"`
	Methods      Only              `yaml:"methods"` // empty: all but TRACE and CONNECT
	Hosts        Only              `yaml:"hosts"`   // empty: every host
	AuthRequired bool              `yaml:"auth_required"`
	AuthOptional bool              `yaml:"auth_optional"` // nobody is let in too, but not with bad credentials
	Require      *auth.Requirement `yaml:"require"`
	RateLimit    *RateLimit        `yaml:"rate_limit"`
	RateLimits   []RateLimit       `yaml:"rate_limits"`

	Allow           Only              `yaml:"allow"`   // CIDRs; empty: everybody
	Deny            []string          `yaml:"deny"`    // CIDRs; wins over Allow
	Rewrite         string            `yaml:"rewrite"` // template of the upstream's path
	CORS            *CORS             `yaml:"cors"`    // instead of the cluster's
	MaxInFlight     int               `yaml:"max_in_flight"`
	MaxBodyBytes    int               `yaml:"max_body_bytes"` // 0: server.body_limit_bytes
	ResponseHeaders proxy.HeaderRules `yaml:"response_headers"`

	// Stream passes on bodies of any size as they come, at any rate.
	Stream bool `yaml:"stream"`

	proxy.UpstreamConfig `yaml:",inline"`
}

// Only lists what a route is for; none: everything.
type Only []string

// Narrows says that variables may not empty the list.
func (Only) Narrows() {}

// SetDefaults gives a new list element the proxy's defaults.
func (r *Route) SetDefaults() { r.UpstreamConfig = proxy.DefaultUpstreamConfig() }

// Authenticates reports whether callers are asked who they are.
func (r *Route) Authenticates() bool { return r.AuthRequired || r.AuthOptional }

// Label names the route in metrics, traces and the log: its path, after its
// first host if it has one.
func (r *Route) Label() string {
	if len(r.Hosts) > 0 {
		return strings.ToLower(r.Hosts[0]) + r.Path
	}
	return r.Path
}

// Limits returns the route's limits, whichever of the two keys holds them.
func (r *Route) Limits() []RateLimit {
	var out []RateLimit
	for _, l := range r.limits() {
		out = append(out, *l)
	}
	return out
}

func (r *Route) limits() []*RateLimit {
	var out []*RateLimit
	if r.RateLimit != nil {
		out = append(out, r.RateLimit)
	}
	for i := range r.RateLimits {
		out = append(out, &r.RateLimits[i])
	}
	return out
}

// CORS is off while AllowOrigins is empty.
type CORS struct {
	AllowOrigins     []string `yaml:"allow_origins"` // "*" or scheme://host[:port]
	AllowMethods     []string `yaml:"allow_methods"`
	AllowHeaders     []string `yaml:"allow_headers"`
	ExposeHeaders    []string `yaml:"expose_headers"`
	AllowCredentials bool     `yaml:"allow_credentials"`
	MaxAgeS          int      `yaml:"max_age_s"`
}

// SetDefaults gives a section that is there its defaults.
func (c *CORS) SetDefaults() {
	*c = CORS{
		AllowMethods: []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"},
		AllowHeaders: []string{"Authorization", "Content-Type", "X-Request-ID"},
		MaxAgeS:      600,
	}
}

// Default returns the configuration of an empty file.
func Default() Config {
	var cors CORS
	cors.SetDefaults()
	return Config{
		Server: Server{
			Host: "0.0.0.0", Port: 8080,
			ReadTimeoutMS: 5000, WriteTimeoutMS: 5000, IdleTimeoutMS: 75_000,
			DrainDelayMS: 2000, DrainTimeoutMS: 15_000,
			BodyLimitBytes: 4 << 20, HeaderLimitBytes: 16 << 10, MaxConnectionsPerClient: 1024, MaxInFlight: 10_000,
			IPv6Prefix: auth.DefaultIPv6Prefix,
			Builtin:    Builtin{Metrics: "data", Docs: "data", OpenAPI: "data"},
		},
		Admin:   Admin{Host: "127.0.0.1", Port: 9901},
		Redis:   limiter.DefaultConfig(),
		Cluster: cluster.Config{Label: cluster.DefaultConfig().Label}, // no bind: a cluster of one
		Log:     telemetry.DefaultLogConfig(),
		Otel:    telemetry.DefaultTraceConfig(),
		JWT:     auth.DefaultConfig(),
		CORS:    cors,
	}
}

// Read returns the file's text, which Parse takes.
func Read(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &Problem{Text: fmt.Sprintf("cannot read the configuration: %v", err)}
	}
	return text, nil
}

// fillIn sets what depends on where a limit stands or on its other fields.
func (c *Config) fillIn() {
	if g := c.GlobalRateLimit; g != nil && g.KeyBy == "" {
		g.KeyBy = limiter.ScopeGlobal
	}
	for i := range c.Routes {
		for _, l := range c.Routes[i].limits() {
			if l.KeyBy == "" {
				l.KeyBy = limiter.ScopeIP
			}
		}
	}
}

// Parse decodes, expands and checks a configuration. The error joins every
// Problem found.
func Parse(text []byte, lookup func(name string) (string, bool)) (*Config, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, &Problem{Text: "must hold a configuration, got an empty file"} // as editors leave it for a moment
	}
	cfg := Default()
	source, err := decode(text, lookup, &cfg)
	errs := flatten(err)
	if source != nil { // it is YAML
		cfg.fillIn()
		found := cfg.validate()
		source.locate(found)
		errs = append(errs, withoutRepeats(found, errs)...)
		source.quote(errs)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	cfg.source = source
	cfg.hash = clusterHash(text)
	return &cfg, nil
}

// withoutRepeats drops problems of paths that already failed to decode: a rate
// that is no number is one fault, not two.
func withoutRepeats(found, decoded []error) []error {
	failed := map[string]bool{}
	for _, e := range decoded {
		var p *Problem
		if errors.As(e, &p) {
			failed[p.Path] = true
		}
	}
	return slices.DeleteFunc(found, func(e error) bool {
		var p *Problem
		return errors.As(e, &p) && (failed[p.Path] || failed[parent(p.Path)])
	})
}

// Hash identifies the sections that all nodes share, as they stand in the file
// (before expansion), independent of order and layout.
func (c *Config) Hash() string { return c.hash }
