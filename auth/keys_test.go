package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// testKeys are private keys for the whole test; making an RSA key takes its time.
var testKeys = sync.OnceValue(func() (keys struct {
	rsa, weakRSA    *rsa.PrivateKey
	p256, otherP256 *ecdsa.PrivateKey
	p384, p521      *ecdsa.PrivateKey
	ed25519         ed25519.PrivateKey
},
) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var err error
	keys.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	keys.weakRSA, err = rsa.GenerateKey(rand.Reader, 1024)
	must(err)
	for curve, key := range map[elliptic.Curve]**ecdsa.PrivateKey{elliptic.P256(): &keys.p256, elliptic.P384(): &keys.p384, elliptic.P521(): &keys.p521} {
		*key, err = ecdsa.GenerateKey(curve, rand.Reader)
		must(err)
	}
	keys.otherP256, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	_, keys.ed25519, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	return keys
})

// pemOf writes a public key as openssl does.
func pemOf(tb testing.TB, public crypto.PublicKey) []byte {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// keyFile writes named public keys and returns the file's path.
func keyFile(tb testing.TB, parts ...[]byte) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "keys.pem")
	if err := os.WriteFile(path, bytes.Join(parts, []byte("\n")), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func named(id string, block []byte) []byte { return append([]byte("kid: "+id+"\n"), block...) }

// jwk describes a public key as a JWKS does, changed by pairs of member and value; nil removes a member.
func jwk(tb testing.TB, public crypto.PublicKey, change ...any) map[string]any {
	tb.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	members := map[string]any{"use": "sig"}
	switch k := public.(type) {
	case *rsa.PublicKey:
		members["kty"], members["n"], members["e"] = "RSA", encode(k.N.Bytes()), encode(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			tb.Fatal(err)
		}
		half := (len(point) - 1) / 2
		members["kty"], members["crv"] = "EC", k.Curve.Params().Name
		members["x"], members["y"] = encode(point[1:1+half]), encode(point[1+half:])
	case ed25519.PublicKey:
		members["kty"], members["crv"], members["x"] = "OKP", "Ed25519", encode(k)
	}
	for i := 0; i < len(change); i += 2 {
		members[change[i].(string)] = change[i+1]
		if change[i+1] == nil {
			delete(members, change[i].(string))
		}
	}
	return members
}

func jwks(tb testing.TB, keys ...map[string]any) []byte {
	tb.Helper()
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func TestParsePEM(t *testing.T) {
	k := testKeys()
	text := bytes.Join([][]byte{
		[]byte("# our keys\nkid: 2026-a\n"), pemOf(t, k.rsa.Public()), named("2026-b", pemOf(t, k.p256.Public())), pemOf(t, k.ed25519.Public()),
		pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&k.rsa.PublicKey)}),
	}, nil)
	keys, err := parsePEM(text)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, key := range keys {
		got = append(got, key.id+"="+key.algorithms[0])
	}
	if want := "2026-a=RS256 2026-b=ES256 =EdDSA =RS256"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParsePEMRefuses(t *testing.T) {
	k := testKeys()
	private, err := x509.MarshalPKCS8PrivateKey(k.p256)
	if err != nil {
		t.Fatal(err)
	}
	good := pemOf(t, k.p256.Public())
	f := func(want string, parts ...[]byte) {
		t.Helper()
		if _, err := parsePEM(bytes.Join(parts, nil)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("must hold 1 to 64 public keys in PEM, got 0")
	f("must hold 1 to 64 public keys in PEM, got 0", []byte("not PEM"))
	f("must hold 1 to 64 public keys in PEM, got 65", bytes.Repeat(good, 65))
	f("key 2: is not complete PEM", good, good[:len(good)-20])
	f(`key 1: must be a PUBLIC KEY, got "PRIVATE KEY"`, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	f(`key 1: must be a PUBLIC KEY, got "CERTIFICATE"`, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: private}))
	f("key 1: is not a readable public key", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("junk")}))
	f("key 1: is an RSA key of 1024 bits, allowed: 2048 to 8192", pemOf(t, k.weakRSA.Public()))
	f(`the kid "a" twice`, named("a", good), named("a", good))
}

func TestParseJWKS(t *testing.T) {
	k := testKeys()
	keys, err := parseJWKS(jwks(t,
		jwk(t, k.rsa.Public(), "kid", "r", "alg", "PS256"), jwk(t, k.p256.Public(), "kid", "e"), jwk(t, k.p384.Public()), jwk(t, k.p521.Public(), "use", nil),
		jwk(t, k.ed25519.Public(), "alg", "Ed25519", "key_ops", []string{"verify"}),
		// For other purposes, or of kinds that are not known here: passed over.
		jwk(t, k.weakRSA.Public(), "use", "enc"), jwk(t, k.rsa.Public(), "alg", "RSA-OAEP-256"), jwk(t, k.p256.Public(), "crv", "secp256k1"),
		jwk(t, k.p256.Public(), "kty", "AKP"), jwk(t, k.p256.Public(), "key_ops", []string{"deriveKey"}),
		// What it says about certificates is not looked at.
		jwk(t, k.otherP256.Public(), "kid", "x", "x5u", "https://evil.example/", "x5c", []string{"junk"}, "x5t", "junk"),
	))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, key := range keys {
		got = append(got, key.id+"="+strings.Join(key.algorithms, "+"))
	}
	if want := "r=PS256 e=ES256 =ES384 =ES512 =EdDSA x=ES256"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseJWKSRefuses(t *testing.T) {
	k := testKeys()
	good := jwk(t, k.p256.Public(), "kid", "a")
	f := func(want string, text []byte) {
		t.Helper()
		if _, err := parseJWKS(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("is not a JSON Web Key Set", nil)
	f("is not a JSON Web Key Set", []byte("<!doctype html><title>Sign in</title>"))
	f("is not a JSON Web Key Set", []byte(`{"keys": 5}`))
	f("is not a JSON Web Key Set", append(jwks(t, good), "trailing"...))
	f("got none", []byte(`{}`))
	f("got none", []byte(`null`))
	f("got none", jwks(t, jwk(t, k.rsa.Public(), "use", "enc")))
	f("at most 64 keys, got 65", jwks(t, make([]map[string]any, 65)...))
	f(`the kid "a" twice`, jwks(t, good, good))
	f(`the kid "a" twice`, jwks(t, good, jwk(t, k.otherP256.Public(), "kid", "a")))
	f("key 2: is an RSA key of 1024 bits", jwks(t, good, jwk(t, k.weakRSA.Public())))
	f("out of range", jwks(t, jwk(t, k.rsa.Public(), "e", "AQ")))
	f("exponent 65536", jwks(t, jwk(t, k.rsa.Public(), "e", "AQAA")))
	f("key 1: is not", jwks(t, jwk(t, k.rsa.Public(), "e", "AQAAAAAAAAAAAQ"))) // more than an int holds
	f("key 1: is not", jwks(t, jwk(t, k.rsa.Public(), "n", "###")))
	f("key 1: is not", jwks(t, jwk(t, k.p256.Public(), "y", "AAAA"))) // not on the curve
	f("key 1: is not", jwks(t, jwk(t, k.p256.Public(), "x", nil)))
	f("key 1: is not", jwks(t, jwk(t, k.ed25519.Public(), "x", "AAAA")))
	f("which such a key has not", jwks(t, jwk(t, k.rsa.Public(), "alg", "HS256"))) // an invitation to key confusion
	f("which such a key has not", jwks(t, jwk(t, k.p256.Public(), "alg", "ES384")))
	f("is a secret, and published", jwks(t, good, map[string]any{"kty": "oct", "k": "c2VjcmV0"}))
	f("is a secret, and published", jwks(t, jwk(t, k.p256.Public(), "d", "AAAA")))
}

func TestCandidatesArePinned(t *testing.T) {
	keys := []key{
		{id: "a", algorithms: []string{"RS256"}, material: "a"},
		{id: "b", algorithms: []string{"RS256"}, material: "b"},
		{id: "", algorithms: []string{"RS256"}, material: "any"},
		{id: "a", algorithms: []string{"ES256"}, material: "ec"},
	}
	f := func(algorithm, id, want string) {
		t.Helper()
		var got []string
		for _, m := range candidates(keys, algorithm, id) {
			got = append(got, m.(string))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s %q: got %q, want %q", algorithm, id, got, want)
		}
	}
	f("RS256", "a", "a any")
	f("RS256", "c", "any")
	f("RS256", "", "a b any")
	f("ES256", "a", "ec")
	f("ES256", "b", "")
	f("HS256", "a", "")
}

func TestCheckKeyFile(t *testing.T) {
	f := func(path string, ok bool) {
		t.Helper()
		if err := (Config{PublicKeyFile: path}).CheckKeyFile(); (err == nil) != ok {
			t.Errorf("%s: got %v", path, err)
		}
	}
	f("", true)
	f(keyFile(t, pemOf(t, testKeys().p256.Public())), true)
	f(keyFile(t, []byte("junk")), false)
	f(keyFile(t, bytes.Repeat([]byte(" "), maxKeyText+1)), false)
	f(filepath.Join(t.TempDir(), "none.pem"), false)
}
