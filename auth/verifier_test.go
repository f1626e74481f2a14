package auth

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

const testSecret = "a secret of more than thirty-two bytes"

// clock is a hand-set time.
type clock struct{ time time.Time }

func newClock() *clock { return &clock{time: time.Unix(1_700_000_000, 0)} }

func (c *clock) now() time.Time { return c.time }

func testConfig() Config {
	c := DefaultConfig()
	c.Secret = testSecret
	return c
}

// newTestKeyring fetches through a client that is given as a function, if there is one.
func newTestKeyring(tb testing.TB, answer roundTrip) *Keyring {
	tb.Helper()
	k := NewKeyring(KeyringOptions{
		Client: &http.Client{Transport: answer}, Log: zerolog.Nop(), Registerer: prometheus.NewRegistry(),
	})
	tb.Cleanup(k.Close)
	return k
}

// roundTrip is an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// verify shows a token as a client does.
func verify(v *Verifier, token string) (Principal, error) {
	return Gate{Verifier: v}.Admit(Credentials{Authorization: []byte("Bearer " + token)})
}

func newTestVerifier(tb testing.TB, c Config, at *clock) *Verifier {
	tb.Helper()
	v, err := NewVerifier(c, Options{Now: at.now, Keys: newTestKeyring(tb, nil)})
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// sign makes a token of any claims, header fields and key.
func sign(tb testing.TB, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	tb.Helper()
	signed, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		tb.Fatal(err)
	}
	return signed
}

// claimsAt returns claims that are good at the clock's time, changed by change.
func claimsAt(at *clock, change jwt.MapClaims) jwt.MapClaims {
	claims := jwt.MapClaims{"iss": "api-gateway", "sub": "alice", "exp": at.time.Add(time.Hour).Unix()}
	for name, value := range change {
		if value == nil {
			delete(claims, name)
			continue
		}
		claims[name] = value
	}
	return claims
}

func TestVerifyScheme(t *testing.T) {
	at := newClock()
	v := newTestVerifier(t, testConfig(), at)
	token, err := SignToken(testConfig(), "alice", time.Hour, at.time)
	if err != nil {
		t.Fatal(err)
	}
	f := func(authorization string, want error) {
		t.Helper()
		p, err := Gate{Verifier: v}.Admit(Credentials{Authorization: []byte(authorization)})
		if !errors.Is(err, want) {
			t.Errorf("%.20q: got %v, want %v", authorization, err, want)
		}
		if want == nil && p.User != "alice" {
			t.Errorf("%.20q: got user %q", authorization, p.User)
		}
	}
	f("", ErrMissing)
	f("Basic YTpi", ErrMissing)
	f(token, ErrMissing)
	f("Bearertoken", ErrMissing)
	f("Bearer", ErrInvalid)
	f("Bearer ", ErrInvalid)
	f("Bearer x", ErrInvalid)
	f("Bearer "+token, nil)
	f("bearer "+token, nil)
	f("BEARER   "+token+" ", nil)
	f("Bearer "+token+" "+token, ErrInvalid)
	f("Bearer "+token+"=", ErrInvalid)
}

func TestVerifyRefuses(t *testing.T) {
	at := newClock()
	f := func(token string) {
		t.Helper()
		c := testConfig()
		c.Audience = "shop"
		v := newTestVerifier(t, c, at)
		for range 2 { // the second time must not find it in a cache
			if p, err := verify(v, token); !errors.Is(err, ErrInvalid) || p.User != "" {
				t.Errorf("got %+v, %v", p, err)
			}
		}
	}
	hs256 := func(change jwt.MapClaims) string {
		change = claimsAt(at, change)
		if _, given := change["aud"]; !given {
			change["aud"] = "shop"
		}
		return sign(t, jwt.SigningMethodHS256, []byte(testSecret), change)
	}
	good := hs256(nil)
	if _, err := verify(newTestVerifier(t, testConfig(), at), good); err != nil {
		t.Fatalf("the good one is refused: %v", err)
	}
	f(sign(t, jwt.SigningMethodHS256, []byte("another secret"), claimsAt(at, jwt.MapClaims{"aud": "shop"})))
	f(sign(t, jwt.SigningMethodHS256, []byte(""), claimsAt(at, jwt.MapClaims{"aud": "shop"})))
	f(sign(t, jwt.SigningMethodHS512, []byte(testSecret), claimsAt(at, jwt.MapClaims{"aud": "shop"})))
	f(sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claimsAt(at, jwt.MapClaims{"aud": "shop"})))
	f(good[:strings.LastIndexByte(good, '.')+1]) // no signature
	f(good[1:])
	f(good + "A")
	f("..")
	f(hs256(jwt.MapClaims{"exp": at.time.Add(-time.Minute).Unix()}))
	f(hs256(jwt.MapClaims{"exp": nil}))
	f(hs256(jwt.MapClaims{"exp": "tomorrow"}))
	f(hs256(jwt.MapClaims{"exp": 0}))
	f(hs256(jwt.MapClaims{"nbf": at.time.Add(time.Minute).Unix()}))
	f(hs256(jwt.MapClaims{"iss": "somebody"}))
	f(hs256(jwt.MapClaims{"iss": nil}))
	f(hs256(jwt.MapClaims{"iss": []string{"api-gateway"}}))
	f(hs256(jwt.MapClaims{"aud": "bank"}))
	f(hs256(jwt.MapClaims{"aud": []string{}}))
	f(hs256(jwt.MapClaims{"sub": nil}))
	f(hs256(jwt.MapClaims{"sub": ""}))
	f(hs256(jwt.MapClaims{"sub": map[string]string{"id": "alice"}}))
	f(hs256(jwt.MapClaims{"sub": "alice\r\nX-Admin: 1"}))
	f(hs256(jwt.MapClaims{"sub": "alice\x00"}))
	f(hs256(jwt.MapClaims{"sub": "alice\u0085"}))
	f(hs256(jwt.MapClaims{"sub": " alice"}))
	f(hs256(jwt.MapClaims{"padding": strings.Repeat("x", MaxTokenBytes)}))
	critical := jwt.NewWithClaims(jwt.SigningMethodHS256, claimsAt(at, jwt.MapClaims{"aud": "shop"}))
	critical.Header["crit"] = []string{"exp"}
	signed, err := critical.SignedString([]byte(testSecret))
	if err != nil {
		t.Fatal(err)
	}
	f(signed)
}

func TestVerifyAudience(t *testing.T) {
	at := newClock()
	f := func(configured string, aud any, ok bool) {
		t.Helper()
		c := testConfig()
		c.Audience = configured
		token := sign(t, jwt.SigningMethodHS256, []byte(testSecret), claimsAt(at, jwt.MapClaims{"aud": aud}))
		if _, err := verify(newTestVerifier(t, c, at), token); (err == nil) != ok {
			t.Errorf("configured %q, token %v: got %v", configured, aud, err)
		}
	}
	f("", nil, true)
	f("", "bank", true)
	f("shop", "shop", true)
	f("shop", []string{"bank", "shop"}, true)
	f("shop", nil, false)
	f("shop", []string{"bank"}, false)
}

func TestVerifyWithoutSecret(t *testing.T) {
	at := newClock()
	v := newTestVerifier(t, DefaultConfig(), at)
	token := sign(t, jwt.SigningMethodHS256, []byte(""), claimsAt(at, nil))
	if _, err := verify(v, token); !errors.Is(err, ErrInvalid) {
		t.Errorf("a token signed with the empty key: got %v", err)
	}
}

func TestVerifyErrorsHideSecretAndToken(t *testing.T) {
	at := newClock()
	v := newTestVerifier(t, testConfig(), at)
	token := sign(t, jwt.SigningMethodHS256, []byte("x"), claimsAt(at, nil))
	_, err := verify(v, token)
	if err == nil || strings.Contains(err.Error(), testSecret) || strings.Contains(err.Error(), token) {
		t.Errorf("got %v", err)
	}
}

func TestCacheRechecksTime(t *testing.T) {
	at := newClock()
	v := newTestVerifier(t, testConfig(), at)
	start := at.time
	token := sign(t, jwt.SigningMethodHS256, []byte(testSecret), claimsAt(at, jwt.MapClaims{
		"nbf": start.Unix(), "exp": start.Add(time.Minute).Unix(),
	}))
	f := func(after time.Duration, ok bool) {
		t.Helper()
		at.time = start.Add(after)
		if _, err := verify(v, token); (err == nil) != ok {
			t.Errorf("after %s: got %v", after, err)
		}
	}
	f(0, true)
	f(89*time.Second, true) // leeway of 30 s
	f(90*time.Second, false)
	f(-30*time.Second, true)
	f(-31*time.Second, false)
	f(0, true)
}

func TestVerifyKeepsNothingOfItsInput(t *testing.T) {
	at := newClock()
	v := newTestVerifier(t, testConfig(), at)
	token := sign(t, jwt.SigningMethodHS256, []byte(testSecret), claimsAt(at, nil))
	buffer := []byte("Bearer " + token)
	p, err := Gate{Verifier: v}.Admit(Credentials{Authorization: buffer})
	if err != nil {
		t.Fatal(err)
	}
	clear(buffer) // as a server does with the buffer of a finished request
	if p.User != "alice" || p.Headers[0].Value != "alice" {
		t.Errorf("the principal changed with the buffer: %+v", p)
	}
	if _, ok := v.cache.get([]byte(token), 0, at.time); !ok {
		t.Error("the cached token changed with the buffer")
	}
}

func TestClaimHeaders(t *testing.T) {
	c := testConfig()
	c.ForwardClaims = map[string]string{"sub": "X-User-ID", "role": "X-Role"}
	if diff := cmp.Diff([]string{"X-Role", "X-User-ID"}, c.ClaimHeaders()); diff != "" {
		t.Error(diff)
	}
}

func TestNewVerifierRefusesBadConfig(t *testing.T) {
	if _, err := NewVerifier(Config{}, Options{Now: time.Now, Keys: newTestKeyring(t, nil)}); err == nil {
		t.Error("an empty configuration was accepted")
	}
}

func TestSignToken(t *testing.T) {
	at := newClock()
	c := testConfig()
	c.Audience, c.UserClaim = "shop", "uid"
	token, err := SignToken(c, "alice", time.Minute, at.time)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := verify(newTestVerifier(t, c, at), token); err != nil || p.User != "alice" {
		t.Errorf("got %+v, %v", p, err)
	}
	for _, bad := range []func() (string, error){
		func() (string, error) { return SignToken(DefaultConfig(), "alice", time.Minute, at.time) },
		func() (string, error) { return SignToken(c, "", time.Minute, at.time) },
		func() (string, error) { return SignToken(c, "alice", 0, at.time) },
	} {
		if token, err := bad(); err == nil {
			t.Errorf("signed %q", token)
		}
	}
}

func FuzzVerify(f *testing.F) {
	at := newClock()
	v := newTestVerifier(f, testConfig(), at)
	good := sign(f, jwt.SigningMethodHS256, []byte(testSecret), claimsAt(at, nil))
	if _, err := verify(v, good); err != nil {
		f.Fatal(err)
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	f.Add("Bearer " + none + ".e30.")
	f.Add("Bearer " + sign(f, jwt.SigningMethodHS256, []byte("foreign"), claimsAt(at, nil)))
	f.Add("bearer \x00")
	f.Add("Bearer " + good + "x")
	f.Fuzz(func(t *testing.T, authorization string) {
		p, err := Gate{Verifier: v}.Admit(Credentials{Authorization: []byte(authorization)})
		token, _ := cutBearer([]byte(authorization))
		if err == nil && string(token) != good {
			t.Fatalf("%q was accepted for %q", authorization, p.User)
		}
	})
}

func TestAdmitRemembersWithoutAllocating(t *testing.T) {
	at := newClock()
	v := newTestVerifier(t, testConfig(), at)
	shown := Credentials{Authorization: []byte("Bearer " + sign(t, jwt.SigningMethodHS256, []byte(testSecret), claimsAt(at, nil)))}
	if n := testing.AllocsPerRun(100, func() { _, _ = Gate{Verifier: v}.Admit(shown) }); n > 0 {
		t.Errorf("%g allocations per remembered token", n)
	}
}
