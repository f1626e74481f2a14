package auth

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// everyWay returns a verifier with a key of every family and every algorithm listed.
func everyWay(tb testing.TB, at *clock, change func(*Config)) *Verifier {
	tb.Helper()
	k := testKeys()
	c := testConfig()
	c.Algorithms = allAlgorithms()
	c.PublicKeyFile = keyFile(tb, named("rsa", pemOf(tb, k.rsa.Public())), named("p256", pemOf(tb, k.p256.Public())),
		named("p384", pemOf(tb, k.p384.Public())), named("p521", pemOf(tb, k.p521.Public())), named("ed", pemOf(tb, k.ed25519.Public())))
	if change != nil {
		change(&c)
	}
	return newTestVerifier(tb, c, at)
}

// forged makes a token of any parts: objects, or text that stands for itself. A nil key signs with nothing.
func forged(tb testing.TB, header, claims any, method jwt.SigningMethod, key any) string {
	tb.Helper()
	segment := func(part any) string {
		text, isText := part.(string)
		if !isText {
			encoded, err := json.Marshal(part)
			if err != nil {
				tb.Fatal(err)
			}
			text = string(encoded)
		}
		return base64.RawURLEncoding.EncodeToString([]byte(text))
	}
	signed := segment(header) + "." + segment(claims)
	if key == nil {
		return signed + "."
	}
	signature, err := method.Sign(signed, key)
	if err != nil {
		tb.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

type fields = map[string]any

func TestEveryAlgorithmVerifies(t *testing.T) {
	at := newClock()
	v := everyWay(t, at, nil)
	k := testKeys()
	f := func(algorithm string, key any, kid string) {
		t.Helper()
		header := fields{"alg": algorithm}
		if kid != "" {
			header["kid"] = kid
		}
		for range 2 { // verified, then remembered
			p, err := verify(v, forged(t, header, claimsAt(at, nil), jwt.GetSigningMethod(algorithm), key))
			if err != nil || p.User != "alice" {
				t.Errorf("%s: got %q, %v", algorithm, p.User, err)
			}
		}
	}
	for _, algorithm := range familyHMAC.algorithms() {
		f(algorithm, []byte(testSecret), "")
		f(algorithm, []byte(testSecret), "anything")
	}
	for _, algorithm := range familyRSA.algorithms() {
		f(algorithm, k.rsa, "rsa")
		f(algorithm, k.rsa, "")
	}
	f("ES256", k.p256, "p256")
	f("ES384", k.p384, "")
	f("ES512", k.p521, "p521")
	f("EdDSA", k.ed25519, "ed")
}

// The public catalogue of attacks on JWS and JWT libraries.
func TestAttacks(t *testing.T) {
	at := newClock()
	k := testKeys()
	v := everyWay(t, at, nil)
	f := func(attack, token string) {
		t.Helper()
		for range 2 { // the second time must not find it in a cache
			if p, err := verify(v, token); !errors.Is(err, ErrInvalid) || p.User != "" {
				t.Errorf("%s: got %+v, %v", attack, p, err)
			}
		}
	}
	admin := claimsAt(at, jwt.MapClaims{"sub": "admin"})
	mine := func(header fields) string { // signed by the attacker's own key
		return forged(t, header, admin, jwt.SigningMethodES256, k.otherP256)
	}
	hs256 := func(header any, key string) string {
		return forged(t, header, admin, jwt.SigningMethodHS256, []byte(key))
	}
	good := forged(t, fields{"alg": "RS256", "kid": "rsa"}, claimsAt(at, nil), jwt.SigningMethodRS256, k.rsa)
	parts := strings.Split(good, ".")
	if _, err := verify(v, good); err != nil {
		t.Fatalf("the good one is refused: %v", err)
	}

	for _, none := range []string{"none", "None", "NONE", "nOnE", "", " none"} {
		f("alg "+none, forged(t, fields{"alg": none}, admin, nil, nil))
		f("alg "+none+" over a real signature", forged(t, fields{"alg": none}, admin, jwt.SigningMethodHS256, []byte(testSecret)))
	}
	f("no alg", forged(t, fields{"typ": "JWT"}, admin, nil, nil))
	f("alg of a wrong type", forged(t, fields{"alg": []string{"none"}}, admin, nil, nil))
	f("alg twice, the second none", forged(t, `{"alg":"HS256","alg":"none"}`, admin, nil, nil))
	f("alg in another case", hs256(fields{"alg": "hs256"}, testSecret))
	f("unknown alg", hs256(fields{"alg": "HS257"}, testSecret))

	for _, public := range []crypto.PublicKey{k.rsa.Public(), k.p256.Public(), k.ed25519.Public()} {
		text := string(pemOf(t, public))
		f("key confusion: the public key as HMAC secret", hs256(fields{"alg": "HS256"}, text))
		f("key confusion: without the last newline", hs256(fields{"alg": "HS256"}, strings.TrimSpace(text)))
		f("key confusion: with its kid", hs256(fields{"alg": "HS256", "kid": "rsa"}, text))
	}
	f("the empty secret", hs256(fields{"alg": "HS256"}, ""))
	f("a kid that leads to an empty file", hs256(fields{"alg": "HS256", "kid": "../../../../dev/null"}, ""))
	f("a kid that is SQL", hs256(fields{"alg": "HS256", "kid": "x' UNION SELECT 'k' -- "}, "k"))
	f("a kid that is a command", hs256(fields{"alg": "HS256", "kid": "|sleep 10"}, "k"))
	f("a kid of a wrong type", forged(t, fields{"alg": "RS256", "kid": []string{"rsa"}}, admin, jwt.SigningMethodRS256, k.rsa))
	f("a kid that nobody knows", forged(t, fields{"alg": "RS256", "kid": "new"}, admin, jwt.SigningMethodRS256, k.rsa))
	f("the kid of another key", forged(t, fields{"alg": "ES256", "kid": "rsa"}, admin, jwt.SigningMethodES256, k.p256))

	f("a key in the header: jwk", mine(fields{"alg": "ES256", "jwk": jwk(t, k.otherP256.Public())}))
	f("a key in the header: jku", mine(fields{"alg": "ES256", "jku": "https://evil.example/jwks.json"}))
	f("a key in the header: x5u", mine(fields{"alg": "ES256", "x5u": "https://evil.example/chain.pem"}))
	f("a key in the header: x5c", mine(fields{"alg": "ES256", "x5c": []string{"MIIB"}}))
	f("a foreign key under a known kid", mine(fields{"alg": "ES256", "kid": "p256"}))

	f("stripped signature", parts[0]+"."+parts[1]+".")
	f("stripped signature and dot", parts[0]+"."+parts[1])
	f("claims exchanged under the signature", parts[0]+"."+base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"admin","iss":"api-gateway","exp":9999999999}`))+"."+parts[2])
	f("header exchanged: another RSA algorithm", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"PS256","kid":"rsa"}`))+"."+parts[1]+"."+parts[2])
	f("psychic signature: r and s zero", strings.TrimSuffix(forged(t, fields{"alg": "ES256"}, admin, nil, nil), ".")+"."+base64.RawURLEncoding.EncodeToString(make([]byte, 64)))
	f("an ASN.1 signature", strings.TrimSuffix(forged(t, fields{"alg": "ES256"}, admin, nil, nil), ".")+"."+base64.RawURLEncoding.EncodeToString([]byte{0x30, 6, 2, 1, 1, 2, 1, 1}))
	f("a signature of zeros", parts[0]+"."+parts[1]+"."+base64.RawURLEncoding.EncodeToString(make([]byte, 256)))
	f("a signature cut short", good[:len(good)-4])
	f("a signature with other spare bits", good[:len(good)-1]+string(good[len(good)-1]+1))

	f("a critical extension", forged(t, fields{"alg": "RS256", "crit": []string{"exp"}}, admin, jwt.SigningMethodRS256, k.rsa))
	f("an unencoded payload (b64)", forged(t, fields{"alg": "RS256", "b64": false, "crit": []string{"b64"}}, admin, jwt.SigningMethodRS256, k.rsa))
	f("an encrypted token (JWE)", good+"."+parts[2]+"."+parts[2])
	f("a JSON serialisation", `{"payload":"`+parts[1]+`","signatures":[{"protected":"`+parts[0]+`","signature":"`+parts[2]+`"}]}`)
	f("a nested token", forged(t, fields{"alg": "RS256", "cty": "JWT"}, good, jwt.SigningMethodRS256, k.rsa))
	f("the user of an API key", forged(t, fields{"alg": "RS256"}, claimsAt(at, jwt.MapClaims{"sub": "key:billing"}), jwt.SigningMethodRS256, k.rsa))
}

// An algorithm that is not listed is refused even with the right key.
func TestAlgorithmsAreListed(t *testing.T) {
	at := newClock()
	k := testKeys()
	f := func(listed, used string, key any, ok bool) {
		t.Helper()
		v := everyWay(t, at, func(c *Config) { c.Algorithms = strings.Fields(listed) })
		token := forged(t, fields{"alg": used}, claimsAt(at, nil), jwt.GetSigningMethod(used), key)
		if _, err := verify(v, token); (err == nil) != ok {
			t.Errorf("%s with %s listed: got %v", used, listed, err)
		}
	}
	f("RS256", "RS256", k.rsa, true)
	f("RS256", "PS256", k.rsa, false)
	f("RS256", "RS512", k.rsa, false)
	f("RS256", "HS256", []byte(testSecret), false)
	f("RS256 ES256", "ES256", k.p256, true)
	f("RS256", "EdDSA", k.ed25519, false)
}

// Whatever is wrong with a token, the answer is the same; the reason is in the error for the log.
func TestBadTokens(t *testing.T) {
	at := newClock()
	now := at.time.Unix()
	c := testConfig()
	c.Audience = "shop"
	v := newTestVerifier(t, c, at)
	f := func(what, token string) {
		t.Helper()
		p, err := verify(v, token)
		if !errors.Is(err, ErrInvalid) || p.User != "" {
			t.Errorf("%s: got %+v, %v", what, p, err)
			return
		}
		if len(err.Error()) <= len(ErrInvalid.Error())+2 {
			t.Errorf("%s: the error gives no reason: %v", what, err)
		}
		if len(token) > 8 && strings.Contains(err.Error(), token) {
			t.Errorf("%s: the error quotes the token: %v", what, err)
		}
	}
	with := func(claims any) string {
		return forged(t, fields{"alg": "HS256"}, claims, jwt.SigningMethodHS256, []byte(testSecret))
	}
	claims := claimsAt(at, jwt.MapClaims{"aud": "shop"})
	claim := func(name string, value any) string {
		changed := maps.Clone(claims)
		changed[name] = value
		return with(changed)
	}
	good := with(claims)
	if _, err := verify(v, good); err != nil {
		t.Fatalf("the good one is refused: %v", err)
	}

	f("empty", "")
	f("one segment", "abc")
	f("two segments", "abc.def")
	f("four segments", good+".abc")
	f("only dots", "..")
	f("a million dots", strings.Repeat(".", 8000))
	for i := 1; i < len(good); i += 7 {
		f("truncated", good[:i])
	}
	f("over 8 KiB", claim("padding", strings.Repeat("x", MaxTokenBytes)))
	f("over 8 KiB of nothing", strings.Repeat("A", MaxTokenBytes+1))
	f("padded base64", strings.Replace(good, ".", "=.", 1))
	f("standard base64", "e+/v."+good)
	f("a space inside", good[:10]+" "+good[10:])
	f("a line break inside", good[:10]+"\r\n"+good[10:])
	f("a NUL inside", good[:10]+"\x00"+good[10:])
	f("bytes that are no UTF-8", "\xff\xfe."+good)
	f("a header that is no JSON", forged(t, "alg=HS256", claims, jwt.SigningMethodHS256, []byte(testSecret)))
	f("a header that is a list", forged(t, `["HS256"]`, claims, jwt.SigningMethodHS256, []byte(testSecret)))
	f("a header that is null", forged(t, "null", claims, jwt.SigningMethodHS256, []byte(testSecret)))
	f("claims that are no JSON", with("sub=alice"))
	f("claims that are a list", with(`["alice"]`))
	f("claims that are null", with("null"))
	f("claims that are text", with(`"alice"`))
	f("claims with text after them", with(`{"sub":"alice","exp":9999999999,"iss":"api-gateway","aud":"shop"}{"sub":"admin"}`))
	f("claims that are no UTF-8", with("{\"sub\":\"ali\xffce\",\"exp\":9999999999,\"iss\":\"api-gateway\",\"aud\":\"shop\"}"))
	f("exp as text", claim("exp", "9999999999"))
	f("exp as a list", claim("exp", []int64{now + 60}))
	f("exp null", claim("exp", json.RawMessage("null")))
	f("exp before now", claim("exp", now-31))
	f("exp negative", claim("exp", -1))
	f("exp beyond any time", claim("exp", json.RawMessage("1e300")))
	f("nbf as text", claim("nbf", "0"))
	f("nbf after now", claim("nbf", now+31))
	f("iat as an object", claim("iat", fields{}))
	f("iat after now", claim("iat", now+31))
	f("iss of a wrong type", claim("iss", []string{"api-gateway"}))
	f("iss with a space", claim("iss", "api-gateway "))
	f("iss in another case", claim("iss", "API-Gateway"))
	f("aud as an object", claim("aud", fields{"shop": true}))
	f("sub as a list", claim("sub", []any{fields{}}))
	f("sub empty", claim("sub", ""))
	f("sub too much for a header line", claim("sub", "alice\r\nX-User-ID: admin"))
}

func TestLeeway(t *testing.T) {
	at := newClock()
	v := newTestVerifier(t, testConfig(), at)
	now := at.time
	f := func(claim string, off time.Duration, ok bool) {
		t.Helper()
		token := sign(t, jwt.SigningMethodHS256, []byte(testSecret), claimsAt(at, jwt.MapClaims{claim: now.Add(off).Unix()}))
		for range 2 {
			if _, err := verify(v, token); (err == nil) != ok {
				t.Errorf("%s %s from now: got %v", claim, off, err)
			}
		}
	}
	f("exp", -29*time.Second, true)
	f("exp", -30*time.Second, false)
	f("nbf", 30*time.Second, true)
	f("nbf", 31*time.Second, false)
	f("iat", 30*time.Second, true)
	f("iat", 31*time.Second, false)
}
