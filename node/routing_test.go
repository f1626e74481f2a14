package node

import (
	"io"
	"strings"
	"testing"
)

// served reports what an answer of the test's upstream looks like.
func (n *testNode) served(method, path string, headers ...string) (int, string) {
	n.t.Helper()
	resp := n.do(method, path, headers...)
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestHostsSeparateRoutesAndTheirLimits(t *testing.T) {
	n := start(t, `
routes:
  - {path: "/x", upstream: "${UPSTREAM}", hosts: ["a.example"], rate_limit: {rps: 1, burst: 1, key_by: ip}}
  - {path: "/x", upstream: "${UPSTREAM}", hosts: ["*.b.example"], rate_limit: {rps: 1, burst: 1, key_by: ip}}
`)
	f := func(host string, want int) {
		t.Helper()
		resp := n.raw("GET /x HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
		if resp.StatusCode != want {
			t.Errorf("%s: status %d, want %d", host, resp.StatusCode, want)
		}
	}
	f("a.example", 200)
	f("A.example:8080", 429)
	f("x.b.example", 200)
	f("y.b.example", 429)
	f("b.example", 404)
	if status, body := n.served("GET", "/metrics"); status != 200 || !strings.Contains(body, `route="a.example/x"`) {
		t.Errorf("/metrics does not tell the routes apart: %d", status)
	}
}
