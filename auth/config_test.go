package auth

import (
	"strings"
	"testing"
)

func TestDefaultConfigIsValid(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
}

func TestConfigValidate(t *testing.T) {
	f := func(change func(*Config), want string) {
		t.Helper()
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	claim := func(name, header string) func(*Config) {
		return func(c *Config) { c.ForwardClaims = map[string]string{name: header} }
	}
	const token = "must be a header name (letters, digits and !#$%&'*+-.^_`|~), got "
	const all = "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"
	const reserved = "must not be a header that HTTP or the gateway itself writes, got "

	f(func(c *Config) { c.Algorithms = nil }, "algorithms: must list at least one, allowed: "+all+", got none")
	f(func(c *Config) { c.Algorithms = []string{"RS257"} }, `algorithms[0]: must be one of `+all+`, got "RS257"`)
	f(func(c *Config) { c.Algorithms = []string{"HS256", "none"} }, `algorithms[1]: must be one of `+all+`, got "none"`)
	f(func(c *Config) { c.Algorithms = []string{"hs256"} }, `algorithms[0]: must be one of `+all+`, got "hs256"`)
	const needsPublic = "algorithms: must list one for public keys, such as RS256, got HS256"
	f(func(c *Config) { c.JWKSURL = "https://id.example/keys" }, needsPublic)
	f(func(c *Config) { c.PublicKeyFile = "keys.pem" }, needsPublic)
	f(func(c *Config) { c.Secret = "-----BEGIN PUBLIC KEY-----" }, "secret: must not be a PEM key, which belongs in public_key_file")
	url := func(text string) func(*Config) {
		return func(c *Config) { c.JWKSURL, c.Algorithms = text, []string{"RS256"} }
	}
	const mustURL = "jwks_url: must be an https URL without user and password"
	f(url("ftp://id.example/keys"), mustURL)
	f(url("id.example/keys"), mustURL)
	f(url("https:///keys"), mustURL)
	f(url("https://user:planted@id.example/keys"), mustURL)
	f(url("https://id.example/%zz"), mustURL)
	f(func(c *Config) { c.Cookie = "a=b" }, `cookie: must be a cookie's name, got "a=b"`)
	f(func(c *Config) { c.LeewayS = -1 }, "leeway_s: must be between 0 and 300, got -1")
	f(func(c *Config) { c.LeewayS = 301 }, "leeway_s: must be between 0 and 300, got 301")
	f(func(c *Config) { c.UserClaim = "" }, `user_claim: must name a claim, got ""`)
	f(claim("", "X-A"), `forward_claims[""]: must name a claim, got ""`)
	f(claim("role", ""), "forward_claims.role: "+token+`""`)
	f(claim("role", "X Role"), "forward_claims.role: "+token+`"X Role"`)
	f(claim("role", "X-Role\r\nHost"), "forward_claims.role: "+token+`"X-Role\r\nHost"`)
	f(claim("role", "X-Rôle"), "forward_claims.role: "+token+`"X-Rôle"`)
	f(claim("role", "connection"), "forward_claims.role: "+reserved+`"connection"`)
	f(claim("role", "HOST"), "forward_claims.role: "+reserved+`"HOST"`)
	f(claim("role", "Content-Length"), "forward_claims.role: "+reserved+`"Content-Length"`)
	f(claim("role", "Authorization"), "forward_claims.role: "+reserved+`"Authorization"`)
	f(claim("role", "X-Forwarded-User"), "forward_claims.role: "+reserved+`"X-Forwarded-User"`)
	f(claim("role", "X-Real-IP"), "forward_claims.role: "+reserved+`"X-Real-IP"`)
	f(func(c *Config) { c.ForwardClaims = map[string]string{"sub": "X-User", "uid": "x-user"} },
		`forward_claims.uid: must be a header of its own, got "x-user", which forward_claims.sub uses`)
}

func TestConfigValidateReportsAll(t *testing.T) {
	err := Config{LeewayS: -1, ForwardClaims: map[string]string{"a": "Host"}}.Validate()
	for _, field := range []string{"algorithms: ", "leeway_s: ", "user_claim: ", "forward_claims.a: "} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%q is not among the problems:\n%v", field, err)
		}
	}
}

func TestWeakSecret(t *testing.T) {
	f := func(secret, want string, algorithms ...string) {
		t.Helper()
		if got := (Config{Secret: secret, Algorithms: algorithms}).WeakSecret(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f("", "is empty, so every token is refused", "HS256")
	f(DevSecret, "is the shipped one, which everybody knows", "HS256")
	f(strings.Repeat("k", 31), "is shorter than 32 bytes (31)", "HS256")
	f(strings.Repeat("k", 32), "", "HS256")
	f(strings.Repeat("k", 32), "is shorter than 48 bytes (32)", "HS256", "HS384")
	f(strings.Repeat("k", 48), "is shorter than 64 bytes (48)", "HS512", "HS384")
	f(DevSecret, "", "RS256") // not used at all
}

func TestPlainJWKS(t *testing.T) {
	f := func(url string, want bool) {
		t.Helper()
		if got := (Config{JWKSURL: url}).PlainJWKS(); got != want {
			t.Errorf("%s: got %v", url, got)
		}
	}
	f("", false)
	f("https://id.example/keys", false)
	f("http://id.example/keys", true)
	f("http://10.0.0.1/keys", true)
	f("http://127.0.0.1:8000/keys", false)
	f("http://[::1]/keys", false)
	f("http://localhost/keys", false)
	f("http://localhost.evil.example/keys", true)
}
