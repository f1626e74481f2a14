package auth

import (
	"errors"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
)

func TestPrincipal(t *testing.T) {
	at := newClock()
	c := testConfig()
	c.UserClaim = "uid"
	c.ForwardClaims = map[string]string{
		"uid": "X-User-ID", "roles": "X-Roles", "vip": "X-VIP", "nothing": "X-Nothing", "deep": "X-Deep", "mixed": "X-Mixed",
	}
	token := sign(t, jwt.SigningMethodHS256, []byte(testSecret), claimsAt(at, jwt.MapClaims{
		"uid": int64(9007199254740993), "roles": []any{"a", 2, true}, "vip": false,
		"deep": map[string]any{"x": 1}, "mixed": []any{"a", map[string]any{}},
	}))
	got, err := verify(newTestVerifier(t, c, at), token)
	if err != nil {
		t.Fatal(err)
	}
	want := Principal{User: "9007199254740993", Headers: []Header{
		{"X-Roles", "a,2,true"}, {"X-User-ID", "9007199254740993"}, {"X-VIP", "false"},
	}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Principal{})); diff != "" {
		t.Error(diff)
	}
}

func TestPrincipalKeepsClaims(t *testing.T) {
	at := newClock()
	token := sign(t, jwt.SigningMethodHS256, []byte(testSecret), claimsAt(at, jwt.MapClaims{
		"tenant": "acme", "plan": 7, "vip": true, "roles": []any{"a"}, "org": map[string]any{"id": 1},
	}))
	v, err := NewVerifier(testConfig(), Options{Now: at.now, Keys: newTestKeyring(t, nil), Claims: []string{"tenant", "plan", "vip", "roles", "org", "none"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // verified, then remembered
		p, err := verify(v, token)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"acme", "7", "true", "", "", "", ""} {
			if got := p.Claim(i); got != want {
				t.Errorf("claim %d is %q, want %q", i, got, want)
			}
		}
		if n := testing.AllocsPerRun(100, func() { p.Claim(0) }); n > 0 {
			t.Errorf("%g allocations", n)
		}
	}
	if got := (Principal{}).Claim(0) + (Principal{}).Claim(-1); got != "" {
		t.Errorf("nobody has the claim %q", got)
	}
}

func TestForwardedClaimRefused(t *testing.T) {
	at := newClock()
	c := testConfig()
	c.ForwardClaims = map[string]string{"roles": "X-Roles"}
	f := func(roles any, ok bool) {
		t.Helper()
		token := sign(t, jwt.SigningMethodHS256, []byte(testSecret), claimsAt(at, jwt.MapClaims{"roles": roles}))
		if _, err := verify(newTestVerifier(t, c, at), token); errors.Is(err, ErrInvalid) == ok {
			t.Errorf("%v: got %v", roles, err)
		}
	}
	f("admin", true)
	f("admin, auditor", true)
	f([]string{"admin", "auditor"}, true)
	f([]string{"user,admin"}, false)
	f("admin\n", false)
	f([]string{"user", "a\rb"}, false)
	f("admin\t", false)
	f("admin ", false)
}
