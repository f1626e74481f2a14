package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-api-gateway-pro/gateway/limiter"
)

// MaxLimits is the largest number of limits of one route.
const MaxLimits = 8

// RateLimit is a token bucket: RPS tokens a second, or Rate tokens per Per, at
// most Burst at once.
type RateLimit struct {
	// KeyBy is global, user, ip, header:NAME or claim:NAME; empty: ip, for the
	// whole cluster global.
	KeyBy string `yaml:"key_by"`
	RPS   int    `yaml:"rps"`
	Rate  int    `yaml:"rate"`
	Per   string `yaml:"per"`   // second (as if empty), minute, hour or day
	Burst int    `yaml:"burst"` // 0: as RPS or Rate
	Cost  int    `yaml:"cost"`  // tokens a request takes; 0: 1
	// Name is the bucket's name; limits of one name are one limit. Empty: one of
	// the route's own.
	Name        string `yaml:"name"`
	Strict      bool   `yaml:"strict"`
	Shadow      bool   `yaml:"shadow"`
	OnRedisDown string `yaml:"on_redis_down"` // share (as if empty), closed or open
}

// Limit returns the bucket's definition. Route is the id of the route it stands
// in.
func (l *RateLimit) Limit(route string) limiter.Limit {
	scope, _, _ := strings.Cut(l.KeyBy, ":")
	rate := l.RPS
	if rate == 0 {
		rate = l.Rate
	}
	burst := l.Burst
	if burst == 0 {
		burst = max(rate, 1)
	}
	id := route
	if suffix := l.suffix(); l.Name != "" {
		id = suffix
	} else if suffix != "" {
		id += "|" + suffix
	}
	return limiter.Limit{
		ID: id, Scope: scope, Rate: rate, Burst: burst, Period: l.period(),
		Strict: l.Strict, Shadow: l.Shadow, OnRedisDown: l.OnRedisDown,
	}
}

// LimitClaims are the names of the claims that limits count by.
func (c *Config) LimitClaims() []string {
	var names []string
	for i := range c.Routes {
		for _, l := range c.Routes[i].limits() {
			if strings.HasPrefix(l.KeyBy, limiter.ScopeClaim+":") && !slices.Contains(names, l.Key()) {
				names = append(names, l.Key())
			}
		}
	}
	return names
}

// Tokens is what one request takes.
func (l *RateLimit) Tokens() int { return max(l.Cost, 1) }

// Key is what follows header: or claim: in KeyBy.
func (l *RateLimit) Key() string {
	_, name, _ := strings.Cut(l.KeyBy, ":")
	return name
}

// suffix tells the limits of one route apart.
func (l *RateLimit) suffix() string {
	switch {
	case l.Name != "":
		return "name:" + l.Name
	case l.Per == "" || l.Per == "second":
		return l.KeyBy
	default:
		return l.KeyBy + "/" + l.Per
	}
}

func (l *RateLimit) period() time.Duration {
	switch l.Per {
	case "minute":
		return time.Minute
	case "hour":
		return time.Hour
	case "day":
		return 24 * time.Hour
	default:
		return time.Second
	}
}

var limitName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Validate returns every fault of the limit.
func (l *RateLimit) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case l.RPS != 0 && l.Rate != 0:
		fail("rate: must not stand beside rps, got both")
	case l.Per != "" && l.Rate == 0:
		fail("per: must stand beside rate, got %q without", l.Per)
	}
	if !slices.Contains([]string{"", "second", "minute", "hour", "day"}, l.Per) {
		fail("per: must be one of second, minute, hour, day, got %q", l.Per)
	}
	if l.Name != "" && !limitName.MatchString(l.Name) {
		fail("name: must be up to 64 letters, digits, dots, dashes or underscores, got %q", l.Name)
	}
	if !l.keyIsValid() {
		fail("key_by: must be one of global, user, ip, header:NAME, claim:NAME, got %q", l.KeyBy)
		return errors.Join(errs...)
	}
	limit := l.Limit("limit")
	for _, err := range flatten(limit.Validate()) {
		if text, isRate := strings.CutPrefix(err.Error(), "rps:"); isRate && l.Rate != 0 {
			err = errors.New("rate:" + text)
		}
		errs = append(errs, err)
	}
	if l.Cost != 0 && limit.Burst > 0 {
		errs = append(errs, limit.ValidateCost(l.Cost))
	}
	return errors.Join(errs...)
}

// keyIsValid tells whether the key has a name exactly if it needs one. Whether
// it is one of the known is for the limiter to say.
func (l *RateLimit) keyIsValid() bool {
	scope, name, named := strings.Cut(l.KeyBy, ":")
	switch scope {
	case limiter.ScopeHeader:
		return isToken(name)
	case limiter.ScopeClaim:
		return name != "" && len(name) <= 128
	default:
		return !named
	}
}

func (l *RateLimit) validateGlobal() error {
	err := l.Validate()
	if l.KeyBy != limiter.ScopeGlobal {
		err = errors.Join(err, fmt.Errorf("key_by: must be global here, got %q", l.KeyBy))
	}
	return err
}

// validateNames finds limits that share a name and differ otherwise: a bucket
// can have but one rate.
func (c *Config) validateNames() error {
	var errs []error
	first := map[string]limiter.Limit{}
	check := func(path string, l *RateLimit) {
		if l.Name == "" {
			return
		}
		limit := l.Limit("")
		if known, ok := first[l.Name]; ok && known != limit {
			errs = append(errs, fmt.Errorf("%s.name: must not be that of another limit with other values, got %q", path, l.Name))
			return
		}
		first[l.Name] = limit
	}
	if c.GlobalRateLimit != nil {
		check("global_rate_limit", c.GlobalRateLimit)
	}
	for i := range c.Routes {
		for j, l := range c.Routes[i].limits() {
			check(fmt.Sprintf("routes[%d].%s", i, c.Routes[i].limitPath(j)), l)
		}
	}
	return errors.Join(errs...)
}
