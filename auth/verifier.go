package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// MaxTokenBytes is the longest token that is looked at, 8 KiB.
const MaxTokenBytes = 8 << 10

var (
	// ErrMissing means that the request carries no credentials, or of another scheme.
	ErrMissing = errors.New("no credentials")
	// ErrInvalid means that there are credentials and they are refused. The wrapped reason is for the log.
	ErrInvalid = errors.New("credentials refused")
	// ErrForbidden means that the caller is known and lacks what the route requires.
	ErrForbidden = errors.New("caller lacks a required scope or claim")
	// ErrUnavailable means that nothing can be said of a token, because no public keys were to be had yet.
	ErrUnavailable = errors.New("no verification keys yet")

	errUnknownKey = fmt.Errorf("%w: unknown API key", ErrInvalid)

	errControl = errors.New("holds control characters")
	errSpaces  = errors.New("begins or ends with a space")
	errComma   = errors.New("is a list with a comma inside an element")
)

// Options are what a Verifier needs besides its Config.
type Options struct {
	// Now is the clock, read at least once for every token.
	Now func() time.Time
	// Keys has the public keys and counts decisions.
	Keys *Keyring
	// APIKeys are accepted beside tokens.
	APIKeys []APIKey
	// Claims names the claims that [Principal.Claim] gives by their place in this list.
	Claims []string
	// Requirements are what the routes ask for; a [Gate] names one by its place.
	Requirements []Requirement
}

// Verifier checks tokens and API keys. It is safe for concurrent use. It holds its own cache of verified
// tokens; replacing the Verifier drops it, and so does every change of the public keys.
type Verifier struct {
	secret       []key // one HMAC key or none
	sources      []*source
	apiKeys      apiKeyring
	userClaim    string
	forwards     []forward
	kept         []string // the claims that a Principal keeps by place
	requirements []Requirement
	leeway       time.Duration
	parser       *jwt.Parser
	now          func() time.Time
	cache        *tokenCache
	tally        tally
}

// NewVerifier returns a Verifier for a valid Config, or what [Config.Validate] has against it. It reads the
// key file, if there is one, and fetches nothing; [Keyring.Retain] starts that.
func NewVerifier(c Config, opts Options) (*Verifier, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot verify tokens: %w", err)
	}
	leeway := time.Duration(c.LeewayS) * time.Second
	v := &Verifier{
		userClaim:    c.UserClaim,
		forwards:     sortedForwards(c.ForwardClaims),
		kept:         slices.Clone(opts.Claims),
		requirements: slices.Clone(opts.Requirements),
		leeway:       leeway,
		parser:       newParser(c, leeway, opts.Now),
		now:          opts.Now,
		cache:        newTokenCache(),
		tally:        opts.Keys.metrics.tally(),
	}
	if c.Secret != "" {
		v.secret = []key{{algorithms: familyHMAC.algorithms(), material: []byte(c.Secret)}}
	}
	var err error
	if v.sources, err = opts.Keys.open(c); err != nil {
		return nil, fmt.Errorf("cannot verify tokens: %w", err)
	}
	if v.apiKeys, err = v.newAPIKeys(opts.APIKeys); err != nil {
		return nil, fmt.Errorf("cannot verify API keys: %w", err)
	}
	return v, nil
}

func newParser(c Config, leeway time.Duration, now func() time.Time) *jwt.Parser {
	options := []jwt.ParserOption{
		jwt.WithValidMethods(c.Algorithms),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
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

// identify finds the caller behind one credential.
func (v *Verifier) identify(kind credentialKind, secret []byte) (Principal, error) {
	switch kind {
	case noCredential:
		return Principal{}, ErrMissing
	case apiKey:
		return v.apiKeys.verify(secret)
	}
	return v.verifyToken(secret)
}

// verifyToken looks a token up among those that were verified before, and verifies it otherwise.
func (v *Verifier) verifyToken(token []byte) (Principal, error) {
	if len(token) > MaxTokenBytes {
		return Principal{}, fmt.Errorf("%w: %d bytes, limit %d", ErrInvalid, len(token), MaxTokenBytes)
	}
	keys := v.generation()
	if p, ok := v.cache.get(token, keys, v.now()); ok {
		return p, nil
	}
	return v.verify(string(token), keys)
}

// generation changes whenever a public key does: verified tokens are not older than the keys in use.
func (v *Verifier) generation() uint64 {
	var sum uint64
	for _, s := range v.sources {
		sum += s.generation.Load()
	}
	return sum
}

// verify does the whole work and remembers the token with the generation of keys that was in use before.
func (v *Verifier) verify(token string, keys uint64) (Principal, error) {
	claims := jwt.MapClaims{}
	parsed, err := v.parser.ParseWithClaims(token, claims, v.keysFor)
	if errors.Is(err, ErrUnavailable) {
		return Principal{}, ErrUnavailable
	}
	if err != nil {
		return Principal{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	// RFC 7515: a critical extension that is not understood voids the token, and none is understood here.
	if _, critical := parsed.Header["crit"]; critical {
		return Principal{}, fmt.Errorf("%w: it demands an extension (crit)", ErrInvalid)
	}
	if !isCleanJSON(token) {
		return Principal{}, fmt.Errorf("%w: its claims are not one JSON object in UTF-8", ErrInvalid)
	}
	p, err := v.principalOf(claims)
	if err != nil {
		return Principal{}, err
	}
	if strings.HasPrefix(p.User, apiKeyUser) {
		return Principal{}, fmt.Errorf("%w: its user begins with %q, as those of API keys do", ErrInvalid, apiKeyUser)
	}
	from, until := v.validity(claims)
	v.cache.put(token, cachedToken{principal: p, keys: keys, from: from, until: until})
	return p, nil
}

// isCleanJSON refuses what the decoder lets pass: text after the object, and bytes that are no UTF-8, which
// would all become the same replacement character and make one user of two.
func isCleanJSON(token string) bool {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	return err == nil && utf8.Valid(text) && json.Valid(text)
}

// keysFor returns the keys that may have signed a token, by its algorithm and kid. The key's own pin decides
// whether the algorithm may be used with it. A kid that nobody knows is a reason to look for new keys.
func (v *Verifier) keysFor(token *jwt.Token) (any, error) {
	algorithm := token.Method.Alg()
	id, isText := token.Header["kid"].(string)
	if _, given := token.Header["kid"]; given && !isText {
		return nil, errors.New("its kid is not text")
	}
	if !isAsymmetric(algorithm) {
		return keySet(candidates(v.secret, algorithm, ""), id)
	}
	found, complete := v.publicKeys(algorithm, id)
	if len(found) == 0 {
		v.await()
		found, complete = v.publicKeys(algorithm, id)
	}
	if len(found) == 0 && !complete {
		return nil, ErrUnavailable
	}
	return keySet(found, id)
}

// publicKeys returns the candidates of all sources; complete is false while one of them never had any keys.
func (v *Verifier) publicKeys(algorithm, id string) (found []any, complete bool) {
	complete = true
	for _, s := range v.sources {
		keys, ok := s.current()
		complete = complete && ok
		found = append(found, candidates(keys, algorithm, id)...)
	}
	return found, complete
}

// await gives the sources a chance to learn new keys.
func (v *Verifier) await() {
	for _, s := range v.sources {
		s.await()
	}
}

func keySet(materials []any, id string) (any, error) {
	if len(materials) == 0 {
		return nil, errors.New("no key is configured for its algorithm and kid")
	}
	if id == "" && len(materials) > maxTries {
		return nil, fmt.Errorf("names no kid, and there are more than %d keys to try", maxTries)
	}
	set := jwt.VerificationKeySet{Keys: make([]jwt.VerificationKey, len(materials))}
	for i, m := range materials {
		set.Keys[i] = m
	}
	return set, nil
}

// validity returns the span in which verified claims hold, leeway included: from ≤ t < until.
func (v *Verifier) validity(claims jwt.MapClaims) (from, until time.Time) {
	for _, claim := range []func() (*jwt.NumericDate, error){claims.GetNotBefore, claims.GetIssuedAt} {
		if begin, err := claim(); err == nil && begin != nil && begin.Add(-v.leeway).After(from) {
			from = begin.Add(-v.leeway)
		}
	}
	if exp, err := claims.GetExpirationTime(); err == nil && exp != nil {
		until = exp.Add(v.leeway)
	}
	return from, until
}

// cutBearer cuts the token out of an Authorization value; ok is false when the scheme is another.
func cutBearer(authorization []byte) (token []byte, ok bool) {
	scheme, rest, _ := bytes.Cut(bytes.TrimSpace(authorization), []byte(" "))
	return bytes.TrimLeft(rest, " "), bytes.EqualFold(scheme, []byte("bearer"))
}
