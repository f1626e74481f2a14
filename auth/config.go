package auth

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DevSecret is the signing secret of the shipped configuration. It is public, so a gateway that uses it
// accepts tokens made by anybody.
const DevSecret = "change-me-in-production"

const (
	algorithmHS256  = "HS256"
	minSecretBytes  = 32 // an HMAC-SHA-256 key shorter than the hash can be searched for
	maxLeewayS      = 300
	forwardedPrefix = "x-forwarded-"
)

// Config says which tokens are accepted and what of them an upstream gets to see.
type Config struct {
	// Secret is the HMAC key. Empty: every token is refused.
	Secret string `yaml:"secret"`
	// Issuer must equal the token's iss claim. Empty: not checked.
	Issuer string `yaml:"issuer"`
	// Audience must be among the token's aud claim. Empty: not checked.
	Audience string `yaml:"audience"`
	// Algorithms lists the accepted signature algorithms; only HS256 for now.
	Algorithms []string `yaml:"algorithms"`
	// LeewayS is the clock difference to tolerate for exp and nbf, in seconds (0 to 300).
	LeewayS int `yaml:"leeway_s"`
	// UserClaim names the claim that holds the user.
	UserClaim string `yaml:"user_claim"`
	// ForwardClaims maps claims to the request headers that carry them to the upstream. A client's own
	// copies of these headers must be removed ([Verifier.HeaderNames]).
	ForwardClaims map[string]string `yaml:"forward_claims"`
}

// DefaultConfig returns the defaults. The secret is empty, so nothing verifies until one is set.
func DefaultConfig() Config {
	return Config{
		Issuer:        "api-gateway",
		Algorithms:    []string{algorithmHS256},
		LeewayS:       30,
		UserClaim:     "sub",
		ForwardClaims: map[string]string{"sub": "X-User-ID"},
	}
}

// Validate returns every problem of the configuration, joined. The quality of the secret is not among them:
// whether a weak one is worth a warning or a refusal depends on the environment ([Config.WeakSecret]).
func (c Config) Validate() error {
	problems := c.algorithmProblems()
	if c.LeewayS < 0 || c.LeewayS > maxLeewayS {
		problems = append(problems, fmt.Errorf("leeway_s: must be between 0 and %d, got %d", maxLeewayS, c.LeewayS))
	}
	if c.UserClaim == "" {
		problems = append(problems, errors.New(`user_claim: must name a claim, got ""`))
	}
	return errors.Join(append(problems, c.forwardProblems()...)...)
}

func (c Config) algorithmProblems() []error {
	if len(c.Algorithms) == 0 {
		return []error{fmt.Errorf("algorithms: must list at least one, allowed: %s, got none", algorithmHS256)}
	}
	var problems []error
	for i, name := range c.Algorithms {
		if name != algorithmHS256 {
			problems = append(problems, fmt.Errorf("algorithms[%d]: not supported yet, got %q, allowed: %s", i, name, algorithmHS256))
		}
	}
	return problems
}

func (c Config) forwardProblems() []error {
	var problems []error
	owner := map[string]string{}
	for _, claim := range slices.Sorted(maps.Keys(c.ForwardClaims)) {
		header := c.ForwardClaims[claim]
		field := "forward_claims." + claim
		if claim == "" {
			field = `forward_claims[""]`
			problems = append(problems, fmt.Errorf(`%s: must name a claim, got ""`, field))
		}
		if why := headerProblem(header); why != "" {
			problems = append(problems, fmt.Errorf("%s: %s, got %q", field, why, header))
		}
		key := strings.ToLower(header)
		if first, taken := owner[key]; taken {
			problems = append(problems, fmt.Errorf("%s: must be a header of its own, got %q, which %s uses", field, header, first))
			continue
		}
		owner[key] = "forward_claims." + claim
	}
	return problems
}

// WeakSecret returns why the secret should not be used in production, or "" if nothing speaks against it.
// The answer never contains the secret.
func (c Config) WeakSecret() string {
	switch {
	case c.Secret == "":
		return "is empty, so every token is refused"
	case c.Secret == DevSecret:
		return "is the shipped one, which everybody knows"
	case len(c.Secret) < minSecretBytes:
		return fmt.Sprintf("is shorter than %d bytes (%d)", minSecretBytes, len(c.Secret))
	}
	return ""
}

// headerProblem returns what a header name must be when it may not carry a claim, or "".
func headerProblem(name string) string {
	if !isToken(name) {
		return "must be a header name (letters, digits and !#$%&'*+-.^_`|~)"
	}
	lower := strings.ToLower(name)
	if strings.HasPrefix(lower, forwardedPrefix) || reservedHeader(lower) {
		return "must not be a header that HTTP or the gateway itself writes"
	}
	return ""
}

// reservedHeader reports whether a lower-case header name belongs to the connection, to the message's
// framing or to the gateway.
func reservedHeader(lower string) bool {
	switch lower {
	case "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
		"te", "trailer", "transfer-encoding", "upgrade", "expect":
		return true
	case "host", "content-length", "authorization":
		return true
	case "forwarded", "x-real-ip", "x-request-id", "traceparent", "tracestate":
		return true
	}
	return false
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		b := s[i]
		alnum := b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
		if !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(b)) {
			return false
		}
	}
	return s != ""
}
