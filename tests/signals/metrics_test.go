package signals

import (
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// The rules of `promtool check metrics`.
func TestMetricsAreWellFormed(t *testing.T) {
	s := startSite(t)
	s.work()
	problems, err := promlint.New(strings.NewReader(s.scrape("text/plain"))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// docs/observability.md lists every metric, and none that is not there.
func TestMetricsAreDocumented(t *testing.T) {
	s := startSite(t)
	s.work()
	text, err := os.ReadFile("../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `.*").FindAllString(string(text), -1) {
		first, _, _ := strings.Cut(row[1:], "|")
		for _, name := range regexp.MustCompile("`((?:gateway|http)_[a-z0-9_]+)`").FindAllStringSubmatch(first, -1) {
			documented[name[1]] = true
		}
	}
	there := families(s.scrape("text/plain"))
	for name := range there {
		if !documented[name] && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s is not documented", name)
		}
	}
	for name := range documented {
		if !there[name] {
			t.Errorf("%s is documented and not there", name)
		}
	}
}

// families returns the names in a scrape's TYPE lines.
func families(scrape string) map[string]bool {
	names := map[string]bool{}
	for _, line := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(scrape, -1) {
		names[line[1]] = true
	}
	return names
}

// What clients send makes no series: neither methods, hosts, paths, users, keys,
// tenants nor addresses.
func TestSeriesDoNotGrowWithClients(t *testing.T) {
	s := startSite(t)
	s.work()
	round := func(n int) int {
		for i := range 20 {
			odd := fmt.Sprintf("x%d-%d", n, i)
			s.ask("GET", "/open/"+odd, "X-Tenant", odd, "X-Forwarded-For", fmt.Sprintf("10.%d.0.%d", n, i))
			s.ask("GET", "/"+odd, "User-Agent", odd, "Traceparent", odd)
			s.ask("GET", "/users/"+odd, "Authorization", s.bearer(odd), "X-Tenant", odd)
			s.ask("GET", "/users/"+odd, "X-API-Key", odd)
			s.ask("GET", "/users/"+odd, "Authorization", odd)
			s.ask("OPTIONS", "/"+odd, "Origin", "https://"+odd, "Access-Control-Request-Method", strings.ToUpper(odd))
			s.raw(strings.ToUpper(odd) + " /open/1 HTTP/1.1\r\nHost: a\r\n\r\n")
			s.raw("GET /open/1 HTTP/1.1\r\nHost: " + odd + ".example\r\nConnection: close\r\n\r\n")
			s.raw("GET http://" + odd + "/open/1 HTTP/1.1\r\nHost: a\r\n\r\n")
			s.raw(odd + "\r\n\r\n")
		}
		return strings.Count(regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(s.scrape("text/plain"), ""), "\n")
	}
	before := round(1)
	for n := 2; n < 5; n++ {
		if after := round(n); after != before {
			t.Errorf("%d series before, %d after round %d", before, after, n)
		}
	}
	if text := s.scrape("text/plain"); regexp.MustCompile(`(?i)x[1-4]-\d`).MatchString(text) {
		t.Error("what a client sent is in a label")
	}
}

// raw sends bytes and waits for the connection's end or an answer.
func (s *site) raw(request string) {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		s.t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		s.t.Errorf("no answer to %q: %v", request, err)
	}
}

// A reload takes the series of removed routes and upstreams away and leaves those
// of the others as they were.
func TestSeriesGoWithTheirRoutes(t *testing.T) {
	s := startSite(t)
	s.work()
	s.ask("GET", "/health")
	before := s.samples()
	gone := []string{`="/dead"`, `="127.0.0.1:1"`, `="/checked"`, strings.TrimPrefix(s.env["CHECKED"], "http://"), `source="jwks"`}
	for _, part := range gone {
		if !strings.Contains(s.scrape("text/plain"), part) {
			t.Errorf("no series with %s to begin with", part)
		}
	}
	text := strings.Replace(everything, `, jwks_url: "${UPSTREAM}/keys"`, "", 1)
	text = strings.Replace(text, "algorithms: [HS256, RS256]", "algorithms: [HS256]", 1)
	text, _, _ = strings.Cut(text, `  - {path: "/checked"`)
	s.write(text)
	harness.Eventually(t, 10*time.Second, "the reload", func() bool {
		return s.samples().Sum("gateway_config_info", `version="2"`) == 1
	})
	for line := range strings.Lines(s.scrape("text/plain")) {
		for _, part := range gone {
			if strings.Contains(line, part) {
				t.Errorf("still there: %s", line)
			}
		}
	}
	after := s.samples()
	for _, kept := range []string{`route="/users/*"`, `route="/health"`, `route="unmatched"`, `route="preflight"`} {
		if got, want := after.Sum("http_requests_total", kept), before.Sum("http_requests_total", kept); got < want || want == 0 {
			t.Errorf("%s fell from %g to %g", kept, want, got)
		}
	}
}
