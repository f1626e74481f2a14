package openapi

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

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
	f("/exact", "delete", "get", "head", "options", "patch", "post", "put")
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
	if open := doc.Paths["/users/{id}"]["delete"]; len(open.Security) != 0 || open.Responses["401"] != nil || open.Responses["429"] == nil {
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

// validDocument fails the test unless a library that did not write the document
// finds it valid.
func validDocument(t *testing.T, configuration string) *openapi3.T {
	t.Helper()
	cfg, err := config.Parse([]byte(configuration), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	text, err := Document(cfg, "v1")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return doc
}

func TestDocumentIsValid(t *testing.T) {
	validDocument(t, routes)
	validDocument(t, "routes: []")
	validDocument(t, "server: {builtin: {docs: off, metrics: admin}}")
	shipped, err := os.ReadFile("../../config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc := validDocument(t, string(shipped))
	op := doc.Paths.Find("/api/users/{path}").Post
	for _, status := range []int{401, 404, 405, 413, 429, 502, 503, 504} {
		r := op.Responses.Status(status)
		if r == nil || r.Value.Content["application/problem+json"] == nil || r.Value.Headers["X-RateLimit-Remaining"] == nil {
			t.Errorf("POST /api/users/{path} has no full answer %d", status)
		}
	}
	if want := "Passed on as it is; at most 4194304 bytes"; op.RequestBody == nil || op.RequestBody.Value.Description != want {
		t.Errorf("its body is %+v, want %q", op.RequestBody, want)
	}
	if ways := *op.Security; len(ways) != 2 || ways[0]["bearer"] == nil || ways[1]["apiKey"] == nil {
		t.Errorf("its security is %v, want bearer or apiKey", ways)
	}
	if r := doc.Paths.Find("/api/orders/{path}").Get.Responses.Status(403); r == nil {
		t.Error("GET /api/orders/{path} has no answer 403, though it requires a scope")
	}
}

func TestHostsAreServers(t *testing.T) {
	doc := validDocument(t, `routes: [{path: /a, upstream: "http://a", methods: [GET], hosts: ["a.example", "*.b.example"]},
		{path: /a, upstream: "http://b", methods: [GET], hosts: ["c.example"]}, {path: /b, upstream: "http://b"}]`)
	var got []string
	for _, s := range *doc.Paths.Find("/a").Get.Servers {
		got = append(got, s.URL)
	}
	if want := []string{"//a.example", "//{name}.b.example", "//c.example"}; !slices.Equal(got, want) {
		t.Errorf("servers of /a are %v, want %v", got, want)
	}
	if s := doc.Paths.Find("/b").Get.Servers; s != nil {
		t.Errorf("servers of /b are %v, want none of its own", *s)
	}
}

// A thousand routes are a document that a browser can still show.
func TestDocumentGrowsSlowly(t *testing.T) {
	var text strings.Builder
	text.WriteString("routes:\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "  - {path: \"/service-%d/*\", upstream: \"http://a\", methods: [GET, POST], rate_limit: {rps: 5}}\n", i)
	}
	cfg, err := config.Parse([]byte(text.String()), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	out, err := Document(cfg, "v1")
	if err != nil || len(out) > 6<<20 {
		t.Errorf("%d bytes, %v, want at most 6 MiB", len(out), err)
	}
	t.Logf("%d bytes", len(out))
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
