package compose

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const adminToken = "a-token-for-the-admin-port"

// operator is a browser, as far as the admin port can tell.
type operator struct {
	t      *testing.T
	front  string
	client *http.Client
}

// TestAdminPortThroughNginx switches deploy/nginx/admin.conf on: one login serves
// for all gateways, the state comes each second, and a foreign page can do nothing.
func TestAdminPortThroughNginx(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, siteConfig+"admin: {host: 0.0.0.0, token: "+adminToken+"}\n",
		"-v", filepath.Join(root, "deploy/nginx/admin.conf")+":/etc/nginx/extra/admin.conf:ro")
	harness.Eventually(t, readyLimit, "an answer through nginx", func() bool {
		resp, err := http.Get(s.Front + "/free/x")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{t: t, front: s.Front, client: &http.Client{Jar: jar, Timeout: 30 * time.Second}}
	o.logIn()
	self := map[string]bool{}
	harness.Eventually(t, readyLimit, "an answer of each gateway to one session", func() bool {
		var view struct{ Self string }
		o.expect(http.StatusOK, "GET", "/admin/cluster", "").JSON(t, &view)
		self[view.Self] = true
		return len(self) == 3
	})
	o.override()
	o.listen()
}

func (o *operator) logIn() {
	o.t.Helper()
	if _, end := o.send("GET", "/admin", "", "Accept", "text/html"); end != "/admin/login" {
		o.t.Errorf("/admin leads to %s, want /admin/login", end)
	}
	answer, end := o.send("POST", "/admin/login", url.Values{"token": {adminToken}}.Encode(),
		"Origin", o.front, "Content-Type", "application/x-www-form-urlencoded")
	if answer.Status != http.StatusOK || end != "/admin/" || !strings.Contains(answer.Body, "<h1>Gateway cluster</h1>") {
		o.t.Fatalf("the login ends at %s with %d: %.200s", end, answer.Status, answer.Body)
	}
	for _, beside := range []string{"/", "/free/x", "/administration"} {
		u, err := url.Parse(o.front + beside)
		if err != nil {
			o.t.Fatal(err)
		}
		if cookies := o.client.Jar.Cookies(u); len(cookies) > 0 {
			o.t.Errorf("the session is sent to %s", beside)
		}
	}
}

// override presses a button some times, so that gateways other than that of the
// login are met.
func (o *operator) override() {
	o.t.Helper()
	var view struct{ Breakers []struct{ Backend string } }
	harness.Eventually(o.t, readyLimit, "a breaker", func() bool {
		o.expect(http.StatusOK, "GET", "/admin/cluster", "").JSON(o.t, &view)
		return len(view.Breakers) > 0
	})
	body := `{"backend": "` + view.Breakers[0].Backend + `", "state": "auto"}`
	for range 6 {
		o.expect(http.StatusOK, "POST", "/admin/cluster/breakers", body, "Origin", o.front)
	}
	o.expect(http.StatusForbidden, "POST", "/admin/cluster/breakers", body, "Origin", "http://elsewhere.example")
	o.expect(http.StatusForbidden, "POST", "/admin/cluster/breakers", body)
	o.expect(http.StatusMisdirectedRequest, "GET", "/admin/cluster", "", "Host", "elsewhere.example")
}

// listen gets one state after the other, as they come: nginx holds nothing back.
func (o *operator) listen() {
	o.t.Helper()
	ctx, cancel := context.WithCancel(o.t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.front+"/admin/events", nil)
	if err != nil {
		o.t.Fatal(err)
	}
	resp, err := o.client.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for states := 0; states < 3; {
		if !lines.Scan() {
			o.t.Fatalf("the stream ends after %d states: %v", states, lines.Err())
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var view struct{ Members []struct{ Name string } }
		if err := json.Unmarshal([]byte(data), &view); err != nil || len(view.Members) == 0 {
			o.t.Fatalf("a state is %.200s: %v", data, err)
		}
		states++
	}
}

func (o *operator) expect(status int, method, path, body string, headers ...string) harness.Answer {
	o.t.Helper()
	answer, _ := o.send(method, path, body, headers...)
	if answer.Status != status {
		o.t.Fatalf("%s %s %v: %d %.200s, want %d", method, path, headers, answer.Status, answer.Body, status)
	}
	return answer
}

// send follows redirects and returns the last answer, and the path it is from.
func (o *operator) send(method, path, body string, headers ...string) (harness.Answer, string) {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), method, o.front+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	resp, err := o.client.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return harness.Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(text)}, resp.Request.URL.Path
}
