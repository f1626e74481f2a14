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
	const reserved = "must not be a header that HTTP or the gateway itself writes, got "

	f(func(c *Config) { c.Algorithms = nil }, "algorithms: must list at least one, allowed: HS256, got none")
	f(func(c *Config) { c.Algorithms = []string{"RS256"} }, `algorithms[0]: not supported yet, got "RS256", allowed: HS256`)
	f(func(c *Config) { c.Algorithms = []string{"HS256", "none"} }, `algorithms[1]: not supported yet, got "none", allowed: HS256`)
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
	f := func(secret, want string) {
		t.Helper()
		if got := (Config{Secret: secret}).WeakSecret(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f("", "is empty, so every token is refused")
	f(DevSecret, "is the shipped one, which everybody knows")
	f(strings.Repeat("k", 31), "is shorter than 32 bytes (31)")
	f(strings.Repeat("k", 32), "")
}
