package openapi

import (
	"encoding/json"
	"slices"
	"strings"
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
  - {path: "/users/:id", upstream: "http://a", methods: [GET, PUT]}
  - {path: "/users/path", upstream: "http://a", methods: [GET]}
  - {path: "/users/:name/*", upstream: "http://a", methods: [GET]}
  - {path: "/shops/*/:path/*", upstream: "http://a", methods: [GET]}
  - {path: "/exact", upstream: "http://a", methods: [GET], hosts: ["b.example"]}
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
	f("/users/{id}", "delete", "get", "post", "put")
	f("/users/{name}/{path}", "get")
	f("/users/path", "get")
	f("/shops/{part1}/{path}", "get")
	f("/shops/{part1}/{path}/{rest_of_path}", "get")
	f("/exact", "delete", "get", "head", "options", "patch", "post", "put", "trace")
	f("/", "get")
	f("/{path}", "get")
	f("/health", "get")

	get := doc.Paths["/users"]["get"]
	if len(get.Security) != 1 || get.Responses["401"] == nil || get.Responses["429"] == nil || len(get.Parameters) != 0 {
		t.Errorf("GET /users is %+v", get)
	}
	if want := "At most 5 requests/s per user (burst 9)."; get.Description != want {
		t.Errorf("description %q, want %q", get.Description, want)
	}
	if open := doc.Paths["/users/{id}"]["delete"]; len(open.Security) != 0 || open.Responses["401"] != nil || open.Responses["429"] != nil {
		t.Errorf("DELETE /users/{id} is %+v", open)
	}
	if got, want := doc.Paths["/exact"]["get"].Description, "On b.example:"; got != want {
		t.Errorf("description %q, want %q", got, want)
	}
	ids, shapes := map[string]bool{}, map[string]bool{}
	for path, operations := range doc.Paths {
		shape := parameterName.ReplaceAllString(path, "{}")
		if shapes[shape] {
			t.Errorf("%s stands beside a template that differs in names only", path)
		}
		shapes[shape] = true
		for method, op := range operations {
			if ids[op.OperationID] {
				t.Errorf("%s %s: operationId %q is not unique", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
			for _, p := range op.Parameters {
				if p.In != "path" || strings.Count(path, "{"+p.Name+"}") != 1 {
					t.Errorf("%s %s declares %+v", method, path, p)
				}
			}
			if len(op.Parameters) != strings.Count(path, "{") {
				t.Errorf("%s %s declares %d parameters", method, path, len(op.Parameters))
			}
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
