package node

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

const limitedRoutes = `
routes:
  - {path: "/tenant", upstream: "${UPSTREAM}", rate_limits: [{rps: 1, burst: 2, key_by: "header:X-Tenant"}]}
  - {path: "/plan", upstream: "${UPSTREAM}", auth_required: true, rate_limits: [{rps: 1, burst: 2, key_by: "claim:plan"}, {rps: 1, burst: 3, key_by: "claim:org"}]}
  - {path: "/dear", upstream: "${UPSTREAM}", rate_limits: [{rate: 60, per: hour, burst: 10, cost: 4, key_by: ip}]}
  - {path: "/both", upstream: "${UPSTREAM}", rate_limits: [{rps: 1, burst: 5, key_by: ip}, {rate: 60, per: hour, burst: 3, key_by: ip}]}
  - {path: "/shadow", upstream: "${UPSTREAM}", rate_limits: [{rps: 1, burst: 2, key_by: ip, shadow: true}]}
  - {path: "/a", upstream: "${UPSTREAM}", rate_limits: [{rps: 1, burst: 3, key_by: ip, name: shared}]}
  - {path: "/b", upstream: "${UPSTREAM}", rate_limits: [{rps: 1, burst: 3, key_by: ip, name: shared}]}
`

// passes counts how many of n requests are answered with 200; all others must be
// answered with 429.
func (n *testNode) passes(t *testing.T, count int, path string, headers ...string) (passed int) {
	t.Helper()
	for range count {
		switch status := n.do("GET", path, headers...).StatusCode; status {
		case 200:
			passed++
		case 429:
		default:
			t.Fatalf("%s: status %d", path, status)
		}
	}
	return passed
}

func TestLimitKeys(t *testing.T) {
	n := start(t, limitedRoutes)
	f := func(path string, want int, headers ...string) {
		t.Helper()
		if got := n.passes(t, 10, path, headers...); got != want {
			t.Errorf("%s %v: %d of 10 pass, want %d", path, headers, got, want)
		}
	}
	f("/tenant", 2, "X-Tenant: acme")
	f("/tenant", 0, "X-Tenant: acme")
	f("/tenant", 2, "X-Tenant: other")
	f("/tenant", 2)                        // without the header by address,
	f("/tenant", 2, "X-Tenant: 127.0.0.1") // which a header cannot name
	f("/plan", 2, bearer(t, map[string]any{"plan": "gold", "org": "a"}))
	f("/plan", 0, bearer(t, map[string]any{"plan": "gold", "org": "b"})) // another user, the same plan
	f("/plan", 1, bearer(t, map[string]any{"plan": "free", "org": "a"})) // what two gold ones left of a
	f("/dear", 2)
	f("/both", 3) // the smaller one denies, and the other is not charged
	f("/shadow", 10)
	f("/a", 3)
	f("/b", 0) // one name, one bucket
	eventually(t, "the log tells what the shadow limit would have denied", func() bool { return strings.Contains(n.logs.String(), `"limit_shadow":"/shadow|ip"`) })
}

// bearer signs any claims by hand; the user is alice unless they say otherwise.
func bearer(t *testing.T, claims map[string]any) string {
	t.Helper()
	claims["iss"], claims["exp"] = "api-gateway", time.Now().Add(time.Hour).Unix()
	if claims["sub"] == nil {
		claims["sub"] = "alice"
	}
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(body)
	mac := hmac.New(sha256.New, []byte(testSecret))
	mac.Write([]byte(signed))
	return "Authorization: Bearer " + signed + "." + encode(mac.Sum(nil))
}
