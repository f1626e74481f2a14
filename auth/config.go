package auth

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// DevSecret is the signing secret of the shipped configuration. It is public, so a gateway that uses it
// accepts tokens made by anybody.
const DevSecret = "change-me-in-production"

const maxLeewayS = 300

// Config says which tokens are accepted and what of them an upstream gets to see. Without a secret, a key
// file and an endpoint every token is refused.
type Config struct {
	// Secret is the HMAC key, used with the HS algorithms alone.
	Secret string `yaml:"secret"`
	// PublicKeyFile holds public keys in PEM, each with an optional "kid: NAME" line above it. It is looked
	// at every five seconds.
	PublicKeyFile string `yaml:"public_key_file"`
	// JWKSURL is where public keys are published (RFC 7517). They are fetched every five minutes, and when a
	// token names a kid that is not known, at most every ten seconds.
	JWKSURL string `yaml:"jwks_url"`
	// Issuer must equal the token's iss claim. Empty: not checked.
	Issuer string `yaml:"issuer"`
	// Audience must be among the token's aud claim. Empty: not checked.
	Audience string `yaml:"audience"`
	// Algorithms lists the accepted signature algorithms, of which each key takes those of its own kind:
	// HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA.
	Algorithms []string `yaml:"algorithms"`
	// LeewayS is the clock difference to tolerate for exp, nbf and iat, in seconds (0 to 300).
	LeewayS int `yaml:"leeway_s"`
	// UserClaim names the claim that holds the user.
	UserClaim string `yaml:"user_claim"`
	// ForwardClaims maps claims to the request headers that carry them to the upstream. A client's own
	// copies of these headers must be removed ([Config.ClaimHeaders]).
	ForwardClaims map[string]string `yaml:"forward_claims"`
	// Cookie names a cookie that may hold the token instead of the Authorization header. Empty: none does.
	Cookie string `yaml:"cookie"`
	// ForwardToken passes the token on to the upstream.
	ForwardToken bool `yaml:"forward_token"`
}

// DefaultConfig returns the defaults. The secret is empty, so nothing verifies until one is set.
func DefaultConfig() Config {
	return Config{
		Issuer:        "api-gateway",
		Algorithms:    []string{"HS256"},
		LeewayS:       30,
		UserClaim:     "sub",
		ForwardClaims: map[string]string{"sub": "X-User-ID"},
		ForwardToken:  true,
	}
}

// ClaimHeaders returns the headers that carry claims to the upstream. Whatever a client sends under these
// names, in any case, must be removed, also on routes that ask for nothing.
func (c Config) ClaimHeaders() []string {
	var names []string
	for _, f := range sortedForwards(c.ForwardClaims) {
		names = append(names, f.header)
	}
	return names
}

// VerifiesTokens reports whether there is anything to verify a token with.
func (c Config) VerifiesTokens() bool {
	return c.Secret != "" || c.PublicKeyFile != "" || c.JWKSURL != ""
}

// Validate returns every problem of the configuration, joined. The quality of the secret is not among them:
// whether a weak one is worth a warning or a refusal depends on the environment ([Config.WeakSecret]).
func (c Config) Validate() error {
	problems := append(c.algorithmProblems(), c.keyProblems()...)
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
		return []error{fmt.Errorf("algorithms: must list at least one, allowed: %s, got none", listOf(allAlgorithms()))}
	}
	var problems []error
	for i, name := range c.Algorithms {
		if familyOf(name) == noFamily {
			problems = append(problems, fmt.Errorf("algorithms[%d]: must be one of %s, got %q", i, listOf(allAlgorithms()), name))
		}
	}
	usesPublicKeys := c.PublicKeyFile != "" || c.JWKSURL != ""
	if usesPublicKeys && len(problems) == 0 && !slices.ContainsFunc(c.Algorithms, isAsymmetric) {
		problems = append(problems, fmt.Errorf("algorithms: must list one for public keys, such as RS256, got %s", listOf(c.Algorithms)))
	}
	return problems
}

func (c Config) keyProblems() []error {
	var problems []error
	if strings.Contains(c.Secret, "-----BEGIN ") {
		problems = append(problems, errors.New("secret: must not be a PEM key, which belongs in public_key_file"))
	}
	if c.JWKSURL != "" {
		u, err := url.Parse(c.JWKSURL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "" {
			problems = append(problems, errors.New("jwks_url: must be an https URL without user and password"))
		}
	}
	if c.Cookie != "" && !isToken(c.Cookie) {
		problems = append(problems, fmt.Errorf("cookie: must be a cookie's name, got %q", c.Cookie))
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

// WeakSecret returns why the secret should not be used in production, or "" if nothing speaks against it or
// no HMAC algorithm is listed. The answer never contains the secret.
func (c Config) WeakSecret() string {
	shortest := minSecret(c.Algorithms)
	switch {
	case !slices.ContainsFunc(c.Algorithms, isHMAC):
		return ""
	case c.Secret == "":
		return "is empty, so every token is refused"
	case c.Secret == DevSecret:
		return "is the shipped one, which everybody knows"
	case len(c.Secret) < shortest:
		return fmt.Sprintf("is shorter than %d bytes (%d)", shortest, len(c.Secret))
	}
	return ""
}

// PlainJWKS reports whether keys would come over a network without TLS, where anybody on the way can give
// us theirs.
func (c Config) PlainJWKS() bool {
	u, err := url.Parse(c.JWKSURL)
	if err != nil || u.Scheme != "http" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() != "localhost" && (err != nil || !addr.IsLoopback())
}
