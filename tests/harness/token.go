package harness

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// Secret signs the tokens of Config. It is strong enough for production.
const Secret = "a-secret-of-the-tests-and-of-nobody-else"

// Token returns a token for sub, made by the gateway's own command line.
func (b Binary) Token(tb testing.TB, g *Gateway, sub string) string {
	tb.Helper()
	r := b.Run(tb, nil, "-config", g.File, "-token", sub)
	if r.Code != 0 {
		tb.Fatalf("gateway -token: exit code %d: %s", r.Code, r.Stderr)
	}
	return strings.TrimSpace(r.Stdout)
}

// Forge returns a token that the gateway's command line would not make. With
// algorithm "none" it has no signature.
func Forge(tb testing.TB, algorithm, secret string, claims map[string]any) string {
	tb.Helper()
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			tb.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	token := part(map[string]string{"alg": algorithm, "typ": "JWT"}) + "." + part(claims)
	if algorithm == "none" {
		return token + "."
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(token))
	return token + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
