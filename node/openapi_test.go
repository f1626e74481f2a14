package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// judge holds what a node answers against what its own /openapi.json says.
type judge struct {
	t      *testing.T
	doc    *openapi3.T
	router routers.Router
	seen   map[string]bool // codes
}

func newJudge(t *testing.T, n *testNode) *judge {
	t.Helper()
	text, err := io.ReadAll(n.do("GET", "/openapi.json").Body)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &judge{t: t, doc: doc, router: router, seen: map[string]bool{}}
}

// problem judges an answer of the gateway's own to a request for a path that is
// described, and wants its status described there.
func (j *judge) problem(resp *http.Response, method, path string, status int) {
	j.t.Helper()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != status {
		j.t.Errorf("%s %s: status %d, want %d: %s", method, path, resp.StatusCode, status, body)
		return
	}
	req, err := http.NewRequestWithContext(j.t.Context(), method, path, nil)
	if err != nil {
		j.t.Fatal(err)
	}
	route, parameters, err := j.router.FindRoute(req)
	if err != nil {
		j.t.Errorf("%s %s is not described: %v", method, path, err)
		return
	}
	if status >= 400 && route.Operation.Responses.Status(status) == nil { // others are the upstream's
		j.t.Errorf("%s %s: its %d is not described", method, path, status)
	}
	j.check(resp, body, &openapi3filter.RequestValidationInput{Request: req, PathParams: parameters, Route: route})
}

func (j *judge) check(resp *http.Response, body []byte, request *openapi3filter.RequestValidationInput) {
	j.t.Helper()
	err := openapi3filter.ValidateResponse(j.t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: request, Status: resp.StatusCode, Header: resp.Header,
		Body: io.NopCloser(bytes.NewReader(body)), Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		j.t.Errorf("%s %s: %d %s is not as described: %v", request.Request.Method, request.Request.URL, resp.StatusCode, body, err)
	}
	for _, p := range problems() {
		if strings.Contains(string(body), `"code":"`+p.code+`"`) {
			j.seen[p.code] = true
		}
	}
}

// undescribed judges an answer to a request that no operation is for, by the
// shared response of its status.
func (j *judge) undescribed(resp *http.Response, status int) {
	j.t.Helper()
	body, _ := io.ReadAll(resp.Body)
	described := j.doc.Components.Responses[fmt.Sprintf("Problem%d", status)]
	if resp.StatusCode != status || described == nil {
		j.t.Errorf("status %d %s, want %d; described: %t", resp.StatusCode, body, status, described != nil)
		return
	}
	op := openapi3.NewOperation()
	op.Responses = openapi3.NewResponses(openapi3.WithStatus(status, described))
	req, err := http.NewRequestWithContext(j.t.Context(), http.MethodGet, "/", nil)
	if err != nil {
		j.t.Fatal(err)
	}
	j.check(resp, body, &openapi3filter.RequestValidationInput{
		Request: req, Route: &routers.Route{Spec: j.doc, Operation: op, Method: http.MethodGet, PathItem: &openapi3.PathItem{Get: op}},
	})
}

const everyProblem = `
routes:
  - {path: "/open/:id/*", upstream: "${UPSTREAM}", methods: [GET, POST], max_in_flight: 1, timeout_ms: 300, rate_limit: {rps: 100}}
  - {path: "/users/*", upstream: "${UPSTREAM}", auth_required: true, require: {scope: admin}}
  - {path: "/far", upstream: "${UPSTREAM}", deny: ["127.0.0.0/8"]}
  - {path: "/few", upstream: "${UPSTREAM}", rate_limit: {rps: 1}}
  - {path: "/dead", upstream: "http://127.0.0.1:1", timeout_ms: 2000, breaker: {failures: 3}}
`

// Every answer of the gateway's own is described, down to its code and headers.
func TestProblemsAreAsDescribed(t *testing.T) {
	n := start(t, everyProblem)
	j := newJudge(t, n)
	get := func(path string, status int, headers ...string) {
		t.Helper()
		j.problem(n.do("GET", path, headers...), "GET", path, status)
	}
	get("/users/%2e%2e", 400)
	get("/users/1", 401)
	get("/users/1", 401, "Authorization: Bearer x")
	get("/users/1", 400, token(t, nil, 0), "Authorization: Bearer another")
	get("/users/1", 403, token(t, nil, 0))
	get("/far", 403)
	j.undescribed(n.do("GET", "/nowhere"), 404)
	j.undescribed(n.do("DELETE", "/open/1/x"), 405)
	j.undescribed(n.do("DELETE", "/health"), 405)
	j.problem(n.raw("POST /open/1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n"+strings.Repeat("x", 1001)), "POST", "/open/1/x", 413)
	j.problem(n.raw("GET /open/1/x HTTP/1.1\r\nHost: a\r\nX-Big: "+strings.Repeat("x", 4096)+"\r\n\r\n"), "GET", "/open/1/x", 431)
	j.undescribed(n.raw("BREW /open/1/x HTTP/1.1\r\nHost: a\r\n\r\n"), 501)
	j.undescribed(n.raw("GET /open/1/x HTTP/2.0\r\nHost: a\r\n\r\n"), 505)
	for range 3 {
		get("/dead", 502)
	}
	get("/dead", 503)
	n.do("GET", "/few")
	get("/few", 429)
	j.slowUpstream(n)

	for _, p := range problems() {
		// These need a slow client, one that breaks its word, an identity provider that
		// is down, a thousand connections or a fault of ours; TestEveryProblemIsDescribed
		// has them.
		apart := []string{"request-timeout", "expectation-failed", "keys-unavailable", "too-many-connections", "internal", "client-gone", "no-upstream"}
		if !j.seen[p.code] && !slices.Contains(apart, p.code) {
			t.Errorf("%d %s was not provoked", p.status, p.code)
		}
	}
}

// slowUpstream meets the deadline, and a second request meets max_in_flight.
func (j *judge) slowUpstream(n *testNode) {
	j.t.Helper()
	ctx, release := context.WithCancel(j.t.Context())
	defer release()
	arrived := make(chan struct{}, 1)
	slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-ctx.Done():
		case <-r.Context().Done():
		}
	})
	n.play.Store(&slow)
	first := make(chan *http.Response)
	go func() { first <- n.do("GET", "/open/1/slow") }()
	<-arrived
	j.problem(n.do("GET", "/open/1/x"), "GET", "/open/1/x", 503)
	j.problem(<-first, "GET", "/open/1/slow", 504)
}

// The table of problems and the description agree in every row, also on those
// that are hard to provoke.
func TestEveryProblemIsDescribed(t *testing.T) {
	n := start(t, everyProblem)
	j := newJudge(t, n)
	described := map[string]bool{}
	for _, p := range problems() {
		if p.status == statusClientGone {
			continue // nobody is left to see it
		}
		described[fmt.Sprint(p.status, p.code)] = true
		header := http.Header{"Content-Type": {"application/problem+json"}, "X-Request-Id": {"id"}, "Allow": {"GET"}, "Www-Authenticate": {"Bearer"}}
		j.undescribed(&http.Response{StatusCode: p.status, Header: header, Body: io.NopCloser(bytes.NewReader(p.body("id")))}, p.status)
	}
	for name, r := range j.doc.Components.Responses {
		var status int
		if _, err := fmt.Sscanf(name, "Problem%d", &status); err != nil {
			continue
		}
		for _, code := range r.Value.Content["application/problem+json"].Schema.Value.AllOf[1].Value.Properties["code"].Value.Enum {
			if !described[fmt.Sprint(status, code)] {
				t.Errorf("%d %s is described, but no problem", status, code)
			}
		}
	}
}

// Answers that are no problems are as described too.
func TestBuiltinsAreAsDescribed(t *testing.T) {
	n := start(t, everyProblem)
	j := newJudge(t, n)
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.FileBodyDecoder)
	defer openapi3filter.UnregisterBodyDecoder("text/html")
	for _, path := range []string{"/health", "/ready", "/metrics", "/docs", "/openapi.json", "/few"} {
		j.problem(n.do("GET", path), "GET", path, 200)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		resp := n.do("GET", "/few")
		if resp.StatusCode == http.StatusTooManyRequests {
			for _, name := range []string{"Retry-After", "RateLimit", "RateLimit-Policy", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
				if resp.Header.Get(name) == "" {
					t.Errorf("a 429 without %s, which is described", name)
				}
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no 429")
		}
	}
}
