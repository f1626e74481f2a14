package openapi

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/go-api-gateway-pro/gateway/node/config"
)

const routes = `
jwt: {secret: some-secret}
routes:
  - {path: "/users/*", upstream: "http://a", methods: [GET, POST], auth_required: true, rate_limit: {rps: 5, burst: 9, key_by: user}}
  - {path: "/users/*", upstream: "http://a", methods: [DELETE]}
  - {path: "/exact", upstream: "http://a"}
  - {path: "/*", upstream: "http://a", methods: [GET]}
`

func TestDocument(t *testing.T) {
	cfg, err := config.Parse([]byte(routes), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	text, err := Document(cfg, "v1")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Description string
			Parameters  []struct{ Name, In string }
			Security    []map[string][]string
			Responses   map[string]any
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.0.3" {
		t.Errorf("openapi is %q", doc.OpenAPI)
	}
	f := func(path string, methods ...string) {
		t.Helper()
		var got []string
		for method := range doc.Paths[path] {
			got = append(got, method)
		}
		slices.Sort(got)
		if !slices.Equal(got, methods) {
			t.Errorf("%s has %v, want %v", path, got, methods)
		}
	}
	f("/users", "delete", "get", "post")
	f("/users/{path}", "delete", "get", "post")
	f("/exact", "delete", "get", "head", "options", "patch", "post", "put", "trace")
	f("/", "get")
	f("/{path}", "get")
	f("/health", "get")

	get := doc.Paths["/users/{path}"]["get"]
	if len(get.Security) != 1 || get.Responses["401"] == nil || get.Responses["429"] == nil || len(get.Parameters) != 1 {
		t.Errorf("GET /users/{path} is %+v", get)
	}
	if want := "At most 5 requests/s per user (burst 9)."; get.Description != want {
		t.Errorf("description %q, want %q", get.Description, want)
	}
	if open := doc.Paths["/users/{path}"]["delete"]; len(open.Security) != 0 || open.Responses["401"] != nil || open.Responses["429"] != nil {
		t.Errorf("DELETE /users/{path} is %+v", open)
	}
	ids := map[string]bool{}
	for path, operations := range doc.Paths {
		for method, op := range operations {
			if ids[op.OperationID] {
				t.Errorf("%s %s: operationId %q is not unique", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
		}
	}
}

func TestWaysIn(t *testing.T) {
	f := func(settings, want string) {
		t.Helper()
		cfg, err := config.Parse([]byte("{"+settings+"}"), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(waysIn(cfg, &cfg.Routes[0]))
		if err != nil || string(text) != want {
			t.Errorf("%s: got %s, %v, want %s", settings, text, err, want)
		}
	}
	const secret, keys = "jwt: {secret: x}, ", `api_keys: [{name: a, hash: "sha256:0000000000000000000000000000000000000000000000000000000000000000"}], `
	f(`routes: [{path: /a, upstream: "http://a"}]`, "null")
	f(secret+`routes: [{path: /a, upstream: "http://a", auth_required: true}]`, `[{"bearer":[]}]`)
	f(keys+`routes: [{path: /a, upstream: "http://a", auth_required: true}]`, `[{"apiKey":[]}]`)
	f(secret+keys+`routes: [{path: /a, upstream: "http://a", auth_optional: true}]`, `[{"bearer":[]},{"apiKey":[]},{}]`)
}
