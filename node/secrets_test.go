package node

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-api-gateway-pro/gateway/auth"
)

// planted is in every secret of the test below and nowhere else.
const planted = "PLANTED"

// Every secret that a node is given or shown, and everything it tells: none of
// the former in any of the latter.
func TestNoSecretIsTold(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // a Redis that takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	secret := planted + "-hmac-secret-of-more-than-thirty-two-bytes"
	adminToken := planted + "-admin-token"
	config := `
server: {host: 127.0.0.1, port: 0, drain_delay_ms: 0}
admin: {port: 0, token: ` + adminToken + `}
log: {level: debug}
redis: {addrs: ["` + silent.Addr().String() + `"], username: u, password: ` + planted + `-redis}
cluster: {bind: "127.0.0.1:0", secret_key: ` + planted + `-gossip-key}
jwt: {secret: "` + secret + `", cookie: session, algorithms: [HS256, RS256], jwks_url: "http://127.0.0.1:1/keys"}
api_keys: [{name: billing, hash: "` + hashOf(planted+"-api-key") + `"}]
routes:
  - {path: "/users/*", upstream: "http://127.0.0.1:1", auth_required: true}
`
	path := filepath.Join(t.TempDir(), "config.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(config)
	logs := &logBuffer{}
	node, err := New(Options{Path: path, Log: logs, Lookup: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { stopped <- node.Run(ctx) }()

	told := &strings.Builder{}
	ask := func(addr, method, path string, body url.Values, headers ...string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, strings.NewReader(body.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			req.Header.Add(name, value)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_ = resp.Header.Write(told)
		if _, err := io.Copy(told, resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp
	}

	good, err := auth.SignToken(auth.Config{Secret: secret, Issuer: "api-gateway", UserClaim: "sub", Algorithms: []string{"HS256"}}, "alice", 1<<40, node.now())
	if err != nil {
		t.Fatal(err)
	}
	data, admin := node.Addr(), node.AdminAddr()
	for _, shown := range []string{
		"Authorization: Bearer " + good, "Authorization: Bearer " + planted + ".x.y", "Authorization: Bearer " + good + planted,
		"Authorization: Basic " + planted, "Cookie: session=" + good, "Cookie: session=" + planted, "X-API-Key: " + planted + "-api-key", "X-API-Key: " + planted,
	} {
		ask(data, "GET", "/users/1?access_token="+planted, nil, shown)
	}
	for _, page := range []string{"/health", "/ready", "/metrics", "/openapi.json", "/docs"} {
		ask(data, "GET", page, nil)
	}
	bearer := "Authorization: Bearer " + adminToken
	for _, page := range []string{"/", "/cluster", "/config", "/debug/pprof/cmdline", "/login"} {
		if resp := ask(admin, "GET", page, nil, bearer); resp.StatusCode != 200 {
			t.Errorf("admin %s: %d", page, resp.StatusCode)
		}
	}
	ask(admin, "GET", "/config", nil, "Authorization: Bearer "+planted+"-wrong")
	origin := "Origin: http://" + admin
	ask(admin, "POST", "/login", url.Values{"token": {planted + "-wrong"}}, origin)
	ask(admin, "POST", "/login", url.Values{"token": {adminToken}}, origin)

	// Faulty files, each with a secret where the fault is.
	for _, fault := range [][2]string{
		{hashOf(planted + "-api-key"), planted + "-api-key"},
		{"secret: \"" + secret, "secret: \"${" + planted},
		{"-redis}", "-redis, db: x}"},
		{adminToken, planted},
		{"http://127.0.0.1:1/keys", "http://user:" + planted + "@127.0.0.1:1/keys"},
		{"upstream: \"http://127.0.0.1:1\"", "upstream: \"http://user:" + planted + "@127.0.0.1:1\""},
		{planted + "-gossip-key", planted},
	} {
		broken := strings.Replace(config, fault[0], fault[1], 1)
		write(broken)
		err := node.Reload()
		if err == nil {
			t.Errorf("a file with %.20q is accepted", fault[1])
			continue
		}
		told.WriteString(err.Error() + "\n")
	}
	cancel()
	if err := <-stopped; err != nil {
		t.Error(err)
	}

	told.WriteString(logs.String())
	signature := good[strings.LastIndexByte(good, '.')+1:]
	for line := range strings.Lines(told.String()) {
		for _, secret := range []string{planted, signature, strings.TrimPrefix(hashOf(planted+"-api-key"), "sha256:")} {
			if strings.Contains(line, secret) {
				t.Errorf("told: %.300s", line)
			}
		}
	}
	if !strings.Contains(told.String(), "***") || !strings.Contains(told.String(), "configuration refused") {
		t.Error("the test did not see what it looks at")
	}
}
