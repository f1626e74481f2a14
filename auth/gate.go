package auth

import (
	"errors"
)

// Credentials are what a request shows of its caller. They may alias request buffers: nothing of them is kept.
type Credentials struct {
	Authorization []byte // the value of the Authorization header
	APIKey        []byte // the value of the X-API-Key header
	Cookie        []byte // the value of the cookie that Config.Cookie names
}

// Gate is what a route demands of its callers. The zero Gate asks nobody anything.
type Gate struct {
	Verifier *Verifier
	// Optional lets callers without credentials in, as nobody. Bad credentials are refused all the same.
	Optional bool
	// Require is the place in Options.Requirements of what the caller must have, counted from 1; 0: nothing.
	Require int
}

// Admit returns who is calling. The error is [ErrMissing], [ErrUnavailable], or wraps [ErrInvalid] or
// [ErrForbidden]; with the latter the Principal is who was turned away. It does not allocate for an API key and for a token that was seen before.
func (g Gate) Admit(c Credentials) (Principal, error) {
	if g.Verifier == nil {
		return Principal{}, nil
	}
	kind, secret := c.first()
	if kind == noCredential && g.Optional {
		return Principal{}, nil
	}
	p, err := g.Verifier.identify(kind, secret)
	if err == nil && g.Require > 0 && !p.meets(g.Require-1) {
		err = ErrForbidden
	}
	g.Verifier.tally[kind][resultOf(err)].Inc()
	return p, err
}

// credentialKind is a way to say who one is.
type credentialKind int

const (
	noCredential credentialKind = iota
	bearerToken
	apiKey
	cookieToken

	credentialKinds
)

// String returns the kind as a metric label.
func (k credentialKind) String() string {
	return [...]string{"none", "bearer", "api_key", "cookie"}[k]
}

// first returns the credential that counts: the first in this order. What a browser adds by itself comes
// last; a bad credential is not made good by another.
func (c Credentials) first() (credentialKind, []byte) {
	if token, ok := cutBearer(c.Authorization); ok {
		return bearerToken, token
	}
	if len(c.APIKey) > 0 {
		return apiKey, c.APIKey
	}
	if len(c.Cookie) > 0 {
		return cookieToken, c.Cookie
	}
	return noCredential, nil
}

// result is what came of a decision.
type result int

const (
	resultOK result = iota
	resultMissing
	resultInvalid
	resultForbidden
	resultUnavailable

	results
)

// String returns the result as a metric label.
func (r result) String() string {
	return [...]string{"ok", "missing", "invalid", "forbidden", "unavailable"}[r]
}

func resultOf(err error) result {
	switch {
	case err == nil:
		return resultOK
	case errors.Is(err, ErrMissing):
		return resultMissing
	case errors.Is(err, ErrForbidden):
		return resultForbidden
	case errors.Is(err, ErrUnavailable):
		return resultUnavailable
	}
	return resultInvalid
}
