package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MaxTokenBytes is the longest token that is looked at, 8 KiB.
const MaxTokenBytes = 8 << 10

const bearer = "bearer"

var (
	// ErrMissing means that the request carries no bearer token: no header, or another scheme.
	ErrMissing = errors.New("no bearer token")
	// ErrInvalid means that there is a token and it is refused. The wrapped reason is for the log only.
	ErrInvalid = errors.New("token refused")

	errControl = errors.New("holds control characters")
	errSpaces  = errors.New("begins or ends with a space")
	errComma   = errors.New("is a list with a comma inside an element")
)

// Options are what a Verifier needs besides its Config.
type Options struct {
	// Now is the clock, read at least once for every token.
	Now func() time.Time
	// Claims names the claims that [Principal.Claim] gives by their place in this list.
	Claims []string
}

// Verifier checks bearer tokens. It is safe for concurrent use. It holds its own cache of verified tokens;
// replacing the Verifier drops it.
type Verifier struct {
	secret    []byte
	userClaim string
	forwards  []forward
	kept      []string // the claims that a Principal keeps by place
	leeway    time.Duration
	parser    *jwt.Parser
	now       func() time.Time
	cache     *tokenCache
}

// NewVerifier returns a Verifier for a valid Config, or what [Config.Validate] has against it.
func NewVerifier(c Config, opts Options) (*Verifier, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot verify tokens: %w", err)
	}
	leeway := time.Duration(c.LeewayS) * time.Second
	return &Verifier{
		secret:    []byte(c.Secret),
		userClaim: c.UserClaim,
		forwards:  sortedForwards(c.ForwardClaims),
		kept:      slices.Clone(opts.Claims),
		leeway:    leeway,
		parser:    newParser(c, leeway, opts.Now),
		now:       opts.Now,
		cache:     newTokenCache(),
	}, nil
}

func newParser(c Config, leeway time.Duration, now func() time.Time) *jwt.Parser {
	options := []jwt.ParserOption{
		jwt.WithValidMethods(c.Algorithms),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(leeway),
		jwt.WithStrictDecoding(),
		jwt.WithJSONNumber(), // a 64-bit id must not pass through a float
		jwt.WithTimeFunc(now),
	}
	if c.Issuer != "" {
		options = append(options, jwt.WithIssuer(c.Issuer))
	}
	if c.Audience != "" {
		options = append(options, jwt.WithAudience(c.Audience))
	}
	return jwt.NewParser(options...)
}

// Verify checks the value of an Authorization header ("" if there is none). The error is [ErrMissing] or
// wraps [ErrInvalid]. The argument may alias a request buffer: nothing of it is kept.
func (v *Verifier) Verify(authorization string) (Principal, error) {
	token, ok := bearerToken(authorization)
	if !ok {
		return Principal{}, ErrMissing
	}
	if len(token) > MaxTokenBytes {
		return Principal{}, fmt.Errorf("%w: %d bytes, limit %d", ErrInvalid, len(token), MaxTokenBytes)
	}
	if p, ok := v.cache.get(token, v.now()); ok {
		return p, nil
	}
	return v.verify(token)
}

// verify does the whole work and remembers the token.
func (v *Verifier) verify(token string) (Principal, error) {
	if len(v.secret) == 0 {
		return Principal{}, fmt.Errorf("%w: no secret is configured", ErrInvalid)
	}
	claims := jwt.MapClaims{}
	parsed, err := v.parser.ParseWithClaims(token, claims, v.key)
	if err != nil {
		return Principal{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	// RFC 7515: a critical extension that is not understood voids the token, and none is understood here.
	if _, critical := parsed.Header["crit"]; critical {
		return Principal{}, fmt.Errorf("%w: it demands an extension (crit)", ErrInvalid)
	}
	p, err := v.principalOf(claims)
	if err != nil {
		return Principal{}, err
	}
	from, until := v.validity(claims)
	v.cache.put(token, cachedToken{principal: p, from: from, until: until})
	return p, nil
}

func (v *Verifier) key(*jwt.Token) (any, error) { return v.secret, nil }

// validity returns the span in which verified claims hold, leeway included: from ≤ t < until.
func (v *Verifier) validity(claims jwt.MapClaims) (from, until time.Time) {
	if nbf, err := claims.GetNotBefore(); err == nil && nbf != nil {
		from = nbf.Add(-v.leeway)
	}
	if exp, err := claims.GetExpirationTime(); err == nil && exp != nil {
		until = exp.Add(v.leeway)
	}
	return from, until
}

// HeaderNames returns the headers that carry claims to the upstream, as configured. Whatever a client sends
// under these names, in any case, must be removed, also on routes that need no token.
func (v *Verifier) HeaderNames() []string {
	names := make([]string, len(v.forwards))
	for i, f := range v.forwards {
		names[i] = f.header
	}
	return names
}

// bearerToken cuts the token out of a header value; ok is false when the scheme is another.
func bearerToken(authorization string) (token string, ok bool) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(authorization), " ")
	if !strings.EqualFold(scheme, bearer) {
		return "", false
	}
	return strings.TrimLeft(rest, " "), true
}

// SignToken makes a token that a Verifier of the same Config accepts until now + ttl. It is meant for
// development and tests; it fails without a secret, a subject or a positive ttl.
func SignToken(c Config, subject string, ttl time.Duration, now time.Time) (string, error) {
	if c.Secret == "" {
		return "", errors.New("cannot sign a token: the secret is empty")
	}
	if subject == "" || ttl <= 0 {
		return "", fmt.Errorf("cannot sign a token: needs a subject and a positive lifetime, got %q and %s", subject, ttl)
	}
	claims := jwt.MapClaims{"sub": subject, "iat": now.Unix(), "exp": now.Add(ttl).Unix()}
	claims[c.UserClaim] = subject
	if c.Issuer != "" {
		claims["iss"] = c.Issuer
	}
	if c.Audience != "" {
		claims["aud"] = c.Audience
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(c.Secret))
	if err != nil {
		return "", fmt.Errorf("cannot sign a token: %w", err)
	}
	return signed, nil
}
