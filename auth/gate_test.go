package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func TestCredentials(t *testing.T) {
	at := newClock()
	keys := newTestKeyring(t, nil)
	v, err := NewVerifier(testConfig(), Options{
		Now: at.now, Keys: keys, APIKeys: []APIKey{{Name: "billing", Hash: hashOf("the-key")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, jwt.SigningMethodHS256, []byte(testSecret), claimsAt(at, nil))
	f := func(authorization, apiKey, cookie string, optional bool, user string, want error) {
		t.Helper()
		shown := Credentials{Authorization: []byte(authorization), APIKey: []byte(apiKey), Cookie: []byte(cookie)}
		p, err := Gate{Verifier: v, Optional: optional}.Admit(shown)
		if !errors.Is(err, want) || p.User != user {
			t.Errorf("%.12q %q %.12q optional %v: got %q, %v, want %q, %v", authorization, apiKey, cookie, optional, p.User, err, user, want)
		}
	}
	f("", "", "", false, "", ErrMissing)
	f("", "", "", true, "", nil)
	f("Basic YTpi", "", "", false, "", ErrMissing)
	f("Basic YTpi", "", "", true, "", nil)
	f("Bearer "+good, "", "", false, "alice", nil)
	f("Bearer "+good, "", "", true, "alice", nil)
	f("Bearer x", "", "", true, "", ErrInvalid) // bad credentials are worse than none
	f("", "the-key", "", false, "key:billing", nil)
	f("", "the-key", "", true, "key:billing", nil)
	f("", "another", "", false, "", ErrInvalid)
	f("", "another", "", true, "", ErrInvalid)
	f("", hashOf("the-key"), "", false, "", ErrInvalid) // knowing the file is not enough
	f("", strings.Repeat("k", maxAPIKeyBytes+1), "", false, "", ErrInvalid)
	f("", "", good, false, "alice", nil)
	f("", "", "x", true, "", ErrInvalid)
	// The first counts, and a bad one is not made good by another.
	f("Bearer "+good, "another", "x", false, "alice", nil)
	f("Bearer x", "the-key", good, false, "", ErrInvalid)
	f("", "another", good, false, "", ErrInvalid)
	f("Basic YTpi", "the-key", "x", false, "key:billing", nil)

	count := func(credential, result string, want float64) {
		t.Helper()
		if got := testutil.ToFloat64(keys.metrics.decisions.WithLabelValues(credential, result)); got != want {
			t.Errorf("%s %s: counted %g, want %g", credential, result, got, want)
		}
	}
	count("none", "missing", 2)
	count("bearer", "ok", 3)
	count("bearer", "invalid", 2)
	count("api_key", "ok", 3)
	count("api_key", "invalid", 5)
	count("cookie", "ok", 1)
}

func TestZeroGateAsksNobody(t *testing.T) {
	if p, err := (Gate{}).Admit(Credentials{Authorization: []byte("Bearer x")}); err != nil || p.User != "" {
		t.Errorf("got %q, %v", p.User, err)
	}
}

func TestRequirements(t *testing.T) {
	at := newClock()
	f := func(r Requirement, claims jwt.MapClaims, want error) {
		t.Helper()
		v, err := NewVerifier(testConfig(), Options{Now: at.now, Keys: newTestKeyring(t, nil), Requirements: []Requirement{{Scope: "never"}, r}})
		if err != nil {
			t.Fatal(err)
		}
		shown := Credentials{Authorization: []byte("Bearer " + sign(t, jwt.SigningMethodHS256, []byte(testSecret), claimsAt(at, claims)))}
		for range 2 {
			p, err := Gate{Verifier: v, Require: 2}.Admit(shown)
			if !errors.Is(err, want) || p.User != "alice" {
				t.Errorf("%+v with %v: got %q, %v, want %v", r, claims, p.User, err, want)
			}
		}
	}
	read := Requirement{Scope: "orders:read"}
	f(read, jwt.MapClaims{"scope": "orders:read"}, nil)
	f(read, jwt.MapClaims{"scope": "a  orders:read b"}, nil)
	f(read, jwt.MapClaims{"scp": []string{"a", "orders:read"}}, nil)
	f(read, jwt.MapClaims{"scp": "orders:read"}, nil)
	f(read, nil, ErrForbidden)
	f(read, jwt.MapClaims{"scope": ""}, ErrForbidden)
	f(read, jwt.MapClaims{"scope": "orders:read2 orders"}, ErrForbidden)
	f(read, jwt.MapClaims{"scope": "ORDERS:READ"}, ErrForbidden)
	f(read, jwt.MapClaims{"scope": "orders:read,admin"}, ErrForbidden)
	f(read, jwt.MapClaims{"scope": []any{map[string]any{"orders:read": true}}}, ErrForbidden)
	f(read, jwt.MapClaims{"scopes": "orders:read"}, ErrForbidden)
	f(Requirement{Scope: "a b"}, jwt.MapClaims{"scope": "b a"}, nil)
	f(Requirement{Scope: "a b"}, jwt.MapClaims{"scope": "b"}, ErrForbidden)
	acme := Requirement{Claims: map[string]string{"tenant": "acme"}}
	f(acme, jwt.MapClaims{"tenant": "acme"}, nil)
	f(acme, jwt.MapClaims{"tenant": []string{"other", "acme"}}, nil)
	f(acme, jwt.MapClaims{"tenant": "acme "}, ErrForbidden)
	f(acme, jwt.MapClaims{"tenant": "Acme"}, ErrForbidden)
	f(acme, jwt.MapClaims{"Tenant": "acme"}, ErrForbidden)
	f(acme, jwt.MapClaims{"tenant": map[string]any{"acme": true}}, ErrForbidden)
	f(Requirement{Claims: map[string]string{"level": "3", "vip": "true"}}, jwt.MapClaims{"level": 3, "vip": true}, nil)
	f(Requirement{Scope: "a", Claims: map[string]string{"tenant": "acme"}}, jwt.MapClaims{"scope": "a"}, ErrForbidden)
	f(Requirement{Scope: "a", Claims: map[string]string{"tenant": "acme"}}, jwt.MapClaims{"scope": "a", "tenant": "acme"}, nil)
}

func TestAPIKeysHaveScopesAndClaims(t *testing.T) {
	c := testConfig()
	c.ForwardClaims = map[string]string{"sub": "X-User-ID", "tenant": "X-Tenant"}
	v, err := NewVerifier(c, Options{
		Now: newClock().now, Keys: newTestKeyring(t, nil), Claims: []string{"tenant"},
		APIKeys: []APIKey{
			{Name: "one", Hash: hashOf("key-one"), Scope: "a b", Claims: map[string]string{"tenant": "acme"}},
			{Name: "two", Hash: hashOf("key-two")},
		},
		Requirements: []Requirement{{Scope: "b", Claims: map[string]string{"tenant": "acme"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	gate := Gate{Verifier: v, Require: 1}
	p, err := gate.Admit(Credentials{APIKey: []byte("key-one")})
	if err != nil || p.User != "key:one" || p.Claim(0) != "acme" {
		t.Errorf("got %+v, %v", p, err)
	}
	if len(p.Headers) != 2 || p.Headers[0] != (Header{"X-User-ID", "key:one"}) || p.Headers[1] != (Header{"X-Tenant", "acme"}) {
		t.Errorf("headers are %v", p.Headers)
	}
	if _, err := gate.Admit(Credentials{APIKey: []byte("key-two")}); !errors.Is(err, ErrForbidden) {
		t.Errorf("a key without the scope: got %v", err)
	}
	shown := Credentials{APIKey: []byte("key-one")}
	if n := testing.AllocsPerRun(100, func() { _, _ = gate.Admit(shown) }); n > 0 {
		t.Errorf("%g allocations per API key", n)
	}
}

func TestValidateAPIKeys(t *testing.T) {
	f := func(want string, keys ...APIKey) {
		t.Helper()
		err := ValidateAPIKeys(keys)
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if strings.Contains(err.Error(), "planted") {
			t.Errorf("the error quotes a key: %v", err)
		}
	}
	a := APIKey{Name: "a", Hash: hashOf("a")}
	const hash = "hash: must be sha256: and 64 hexadecimal digits (printf %s KEY | sha256sum)"
	if err := ValidateAPIKeys([]APIKey{a, {Name: "b", Hash: hashOf("b"), Claims: map[string]string{"tenant": "acme"}}}); err != nil {
		t.Error(err)
	}
	f("api_keys[0].name: must be 1 to 64 letters, digits and -._, got \"\"", APIKey{Hash: hashOf("a")})
	f("api_keys[0].name: must be 1 to 64 letters, digits and -._, got \"a b\"", APIKey{Name: "a b", Hash: hashOf("a")})
	f("api_keys[1]."+hash, a, APIKey{Name: "b", Hash: "planted-key"})
	f("api_keys[1]."+hash, a, APIKey{Name: "b", Hash: "sha256:planted"})
	f("api_keys[1]."+hash, a, APIKey{Name: "b", Hash: hashOf("b") + "00"})
	f("api_keys[1].name: must differ from the others, got \"a\" again", a, APIKey{Name: "a", Hash: hashOf("b")})
	f("api_keys[1].hash: must differ from the others, got the same key again", a, APIKey{Name: "b", Hash: hashOf("a")})
	f("api_keys[0].claims.tenant: must be plain text, got one that holds control characters",
		APIKey{Name: "a", Hash: hashOf("a"), Claims: map[string]string{"tenant": "a\nb"}})
}
