package auth

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// SignToken makes a token that a Verifier of the same Config accepts until now + ttl. It is meant for
// development and tests; it fails without a secret, an HMAC algorithm, a subject or a positive ttl.
func SignToken(c Config, subject string, ttl time.Duration, now time.Time) (string, error) {
	hmac := slices.IndexFunc(c.Algorithms, isHMAC)
	if c.Secret == "" || hmac < 0 {
		return "", errors.New("cannot sign a token: needs jwt.secret and an HMAC algorithm, such as HS256")
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
	method := jwt.GetSigningMethod(c.Algorithms[hmac])
	signed, err := jwt.NewWithClaims(method, claims).SignedString([]byte(c.Secret))
	if err != nil {
		return "", fmt.Errorf("cannot sign a token: %w", err)
	}
	return signed, nil
}
