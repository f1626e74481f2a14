package auth

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const jwksURL = "https://id.example/jwks.json"

// issuer plays an endpoint that publishes keys and signs tokens with them.
type issuer struct {
	tb      testing.TB
	ring    *Keyring
	plays   atomic.Pointer[part]
	fetches atomic.Int64
}

// part is how an issuer answers.
type part struct {
	body   []byte
	status int // 0: there is no connection
	takes  time.Duration
}

// newIssuer returns one that publishes the P-256 key as "a".
func newIssuer(tb testing.TB) *issuer {
	tb.Helper()
	i := &issuer{tb: tb}
	i.publish(jwk(tb, testKeys().p256.Public(), "kid", "a"))
	i.ring = newTestKeyring(tb, i.answer)
	return i
}

// publish makes the issuer answer with these keys.
func (i *issuer) publish(keys ...map[string]any) {
	i.plays.Store(&part{body: jwks(i.tb, keys...), status: 200})
}

func (i *issuer) answer(r *http.Request) (*http.Response, error) {
	i.fetches.Add(1)
	p := i.plays.Load()
	select {
	case <-time.After(p.takes):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if p.status == 0 {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: p.status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(p.body)), Request: r}, nil
}

// verifier returns a verifier in use.
func (i *issuer) verifier(change func(*Config)) *Verifier {
	i.tb.Helper()
	c := testConfig()
	c.Algorithms, c.JWKSURL = []string{"ES256", "HS256"}, jwksURL
	if change != nil {
		change(&c)
	}
	v, err := NewVerifier(c, Options{Now: time.Now, Keys: i.ring})
	if err != nil {
		i.tb.Fatal(err)
	}
	i.ring.Retain(v)
	return v
}

// token is one of the issuer's; "b" is signed with the other P-256 key.
func (i *issuer) token(kid string) string {
	key := testKeys().p256
	if kid == "b" {
		key = testKeys().otherP256
	}
	return forged(i.tb, fields{"alg": "ES256", "kid": kid}, fields{"sub": "alice", "iss": "api-gateway", "exp": time.Now().Add(24 * time.Hour).Unix()},
		jwt.SigningMethodES256, key)
}

func (i *issuer) count(outcome string) float64 {
	return testutil.ToFloat64(i.ring.metrics.fetches.WithLabelValues("jwks", outcome))
}

func (i *issuer) expect(v *Verifier, kid string, want error) {
	i.tb.Helper()
	if _, err := verify(v, i.token(kid)); !errors.Is(err, want) {
		i.tb.Errorf("token of kid %q: got %v, want %v", kid, err, want)
	}
}

// inBubble runs a test on a clock of its own and ends what it started.
func inBubble(t *testing.T, f func(t *testing.T, i *issuer)) {
	t.Helper()
	testKeys()
	synctest.Test(t, func(t *testing.T) { f(t, newIssuer(t)) })
}

func TestStartWithoutTheEndpoint(t *testing.T) {
	inBubble(t, func(t *testing.T, i *issuer) {
		i.plays.Store(&part{})
		v := i.verifier(nil)
		i.expect(v, "a", ErrUnavailable)
		if _, err := verify(v, sign(t, jwt.SigningMethodHS256, []byte(testSecret), jwt.MapClaims{"sub": "a", "iss": "api-gateway", "exp": time.Now().Unix() + 60})); err != nil {
			t.Errorf("a token that needs no public key: %v", err)
		}
		i.publish(jwk(t, testKeys().p256.Public(), "kid", "a"))
		time.Sleep(jwksInterval)
		i.expect(v, "a", nil)
		i.expect(v, "b", ErrInvalid)
	})
}

// The first requests wait for the first fetch, for a moment.
func TestRequestsWaitForTheFirstKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, i *issuer) {
		i.plays.Store(&part{body: i.plays.Load().body, status: 200, takes: keyPatience / 2})
		i.expect(i.verifier(nil), "a", nil)
	})
	inBubble(t, func(t *testing.T, i *issuer) {
		i.plays.Store(&part{takes: time.Hour})
		v := i.verifier(nil)
		start := time.Now()
		i.expect(v, "a", ErrUnavailable)
		if took := time.Since(start); took > keyPatience {
			t.Errorf("a request waited %s", took)
		}
	})
}

func TestRotation(t *testing.T) {
	inBubble(t, func(t *testing.T, i *issuer) {
		v := i.verifier(nil)
		i.expect(v, "a", nil)
		time.Sleep(jwksInterval)
		i.publish(jwk(t, testKeys().p256.Public(), "kid", "a"), jwk(t, testKeys().otherP256.Public(), "kid", "b"))
		i.expect(v, "b", nil) // an unknown kid fetches
		i.expect(v, "a", nil)
		if n := i.fetches.Load(); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
	})
}

func TestUnknownKidsFetchOncePerInterval(t *testing.T) {
	inBubble(t, func(t *testing.T, i *issuer) {
		v := i.verifier(nil)
		i.expect(v, "a", nil)
		time.Sleep(jwksInterval)
		before := i.fetches.Load()
		for range 100 {
			i.expect(v, "made-up", ErrInvalid)
		}
		time.Sleep(jwksInterval - time.Millisecond)
		i.expect(v, "made-up", ErrInvalid)
		if n := i.fetches.Load() - before; n != 1 {
			t.Errorf("%d fetches within an interval, want 1", n)
		}
		// Nor do tokens of algorithms that no public key could have signed.
		time.Sleep(jwksInterval)
		before = i.fetches.Load()
		_, _ = verify(v, forged(t, fields{"alg": "HS256", "kid": "made-up"}, fields{}, jwt.SigningMethodHS256, []byte("x")))
		_, _ = verify(v, forged(t, fields{"alg": "none", "kid": "made-up"}, fields{}, nil, nil))
		if n := i.fetches.Load() - before; n != 0 {
			t.Errorf("%d fetches for tokens that need no public key", n)
		}
	})
}

func TestStaleKeysServeWhileTheEndpointIsDown(t *testing.T) {
	inBubble(t, func(t *testing.T, i *issuer) {
		v := i.verifier(nil)
		i.expect(v, "a", nil)
		i.plays.Store(&part{})
		time.Sleep(48 * time.Hour)
		i.expect(v, "a", nil)
		if i.count("ok") != 1 || i.count("failed") < 100 {
			t.Errorf("%g good and %g failed fetches are counted", i.count("ok"), i.count("failed"))
		}
	})
}

func TestRemovedKeyIsRemovedFromTheCacheToo(t *testing.T) {
	inBubble(t, func(t *testing.T, i *issuer) {
		v := i.verifier(nil)
		token := i.token("a")
		for range 2 {
			if _, err := verify(v, token); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(jwksRefresh) // the same keys again
		if _, ok := v.cache.get([]byte(token), v.generation(), time.Now()); !ok {
			t.Error("fetching the same keys dropped a verified token")
		}
		i.publish(jwk(t, testKeys().otherP256.Public(), "kid", "b"))
		time.Sleep(jwksRefresh)
		synctest.Wait()
		if _, err := verify(v, token); !errors.Is(err, ErrInvalid) {
			t.Errorf("a token of a key that is gone: got %v", err)
		}
	})
}

func TestRefusedKeySetsChangeNothingAndAreCounted(t *testing.T) {
	k := testKeys()
	f := func(what, outcome string, plays part) {
		t.Helper()
		inBubble(t, func(t *testing.T, i *issuer) {
			v := i.verifier(nil)
			i.expect(v, "a", nil)
			i.plays.Store(&plays)
			time.Sleep(jwksRefresh + fetchTimeout)
			synctest.Wait()
			if i.count(outcome) != 1 {
				t.Errorf("%s: %g %s", what, i.count(outcome), outcome)
			}
			i.expect(v, "a", nil)
			i.expect(v, "b", ErrInvalid)
		})
	}
	b := jwk(t, k.otherP256.Public(), "kid", "b")
	good := jwks(t, b)
	answer := func(status int, body []byte) part { return part{status: status, body: body} }
	set := func(keys ...map[string]any) part { return answer(200, jwks(t, keys...)) }
	f("10 MB", "refused", answer(200, append(good, bytes.Repeat([]byte(" "), 10<<20)...)))
	f("HTML", "refused", answer(200, []byte("<!doctype html><h1>Sign in</h1>")))
	f("duplicate kid", "refused", set(b, b))
	f("weak RSA key", "refused", set(b, jwk(t, k.weakRSA.Public(), "kid", "w")))
	f("secret", "refused", set(b, fields{"kty": "oct", "k": "c2VjcmV0", "kid": "s"}))
	f("empty", "refused", set())
	f("status 500", "failed", answer(500, good))
	f("redirect", "failed", answer(302, good))
	f("never ends", "failed", part{takes: time.Hour})
}

func TestReloadKeepsKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, i *issuer) {
		i.expect(i.verifier(nil), "a", nil)
		i.plays.Store(&part{})
		i.expect(i.verifier(func(c *Config) { c.LeewayS = 5 }), "a", nil)
		// Named no more, then again: from the beginning.
		i.verifier(func(c *Config) { c.JWKSURL = "" })
		before := i.fetches.Load()
		time.Sleep(time.Hour)
		if n := i.fetches.Load() - before; n != 0 {
			t.Errorf("%d fetches of keys that nobody uses", n)
		}
		i.expect(i.verifier(nil), "a", ErrUnavailable)
	})
}

func TestKeyFileIsFollowed(t *testing.T) {
	inBubble(t, func(t *testing.T, i *issuer) {
		k := testKeys()
		path := keyFile(t, named("a", pemOf(t, k.p256.Public())))
		v := i.verifier(func(c *Config) { c.JWKSURL, c.PublicKeyFile = "", path })
		write := func(text []byte) {
			t.Helper()
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * fileInterval)
		}
		i.expect(v, "a", nil)
		i.expect(v, "b", ErrInvalid)
		write([]byte("half a fi"))
		i.expect(v, "a", nil)
		write(named("b", pemOf(t, k.otherP256.Public())))
		i.expect(v, "a", ErrInvalid)
		i.expect(v, "b", nil)
	})
}

func TestUnreadableKeyFileIsRefusedAtOnce(t *testing.T) {
	c := testConfig()
	c.Algorithms, c.PublicKeyFile = []string{"ES256"}, keyFile(t, []byte("junk"))
	_, err := NewVerifier(c, Options{Now: time.Now, Keys: newTestKeyring(t, nil)})
	if err == nil || !strings.Contains(err.Error(), "public_key_file: ") {
		t.Errorf("got %v", err)
	}
}

// A token without a kid is not tried with any number of keys: each costs a verification.
func TestTokenWithoutKidIsTriedWithFewKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, i *issuer) {
		var many []map[string]any
		for n := range maxTries + 1 {
			many = append(many, jwk(t, testKeys().p256.Public(), "kid", strings.Repeat("x", n+1)))
		}
		i.publish(many[:maxTries]...)
		v := i.verifier(nil)
		i.expect(v, "", nil)
		i.publish(many...)
		time.Sleep(jwksRefresh)
		synctest.Wait()
		i.expect(v, "", ErrInvalid)
		i.expect(v, "x", nil)
	})
}
