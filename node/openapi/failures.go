package openapi

import (
	"strconv"

	"github.com/go-api-gateway-pro/gateway/auth"
)

// failure is a status that the gateway itself answers with, as opposed to the
// upstream, and the codes by which programs tell why.
type failure struct {
	status  int
	text    string
	codes   []string
	headers []string // besides X-Request-ID and those of limits
}

// failures are all statuses of requests that could be read. A test in node holds
// them against its table of problems.
func failures() []failure {
	return []failure{
		{400, "The path or the request is not acceptable", []string{"bad-path", "bad-request"}, nil},
		{401, "The credentials are missing or not valid", []string{"token-missing", "token-invalid"}, []string{"WWW-Authenticate"}},
		{403, "The caller may not do this, or not from its address", []string{"forbidden", "address-denied"}, []string{"WWW-Authenticate"}},
		{404, "Nothing is served at this path on this host", []string{"no-route"}, nil},
		{405, "The method is not allowed here", []string{"method-not-allowed"}, []string{"Allow"}},
		{408, "The request did not arrive in time", []string{"request-timeout"}, nil},
		{413, "The request body is too large", []string{"body-too-large"}, nil},
		{417, "The expectation cannot be met", []string{"expectation-failed"}, nil},
		{429, "Too many requests, or connections; Retry-After says when to come back", []string{"rate-limited", "too-many-connections"}, []string{"Retry-After"}},
		{431, "The request headers are too large", []string{"headers-too-large"}, nil},
		{500, "The gateway failed", []string{"internal"}, nil},
		{501, "The method is not known", []string{"method-unknown"}, nil},
		{502, "The upstream did not answer properly", []string{"upstream-failed"}, nil},
		{503, "No upstream is available, it is being spared, or too much is under way", []string{"no-upstream", "upstream-open", "overloaded", "keys-unavailable"}, []string{"Retry-After"}},
		{504, "The upstream did not answer in time", []string{"upstream-timeout"}, nil},
		{505, "HTTP/1.1 is spoken here", []string{"version"}, nil},
	}
}

// limitHeaders tell a client its bucket.
func limitHeaders() []string {
	return []string{"RateLimit", "RateLimit-Policy", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
}

// ref points to what is described once.
func ref(kind, name string) map[string]string {
	return map[string]string{"$ref": "#/components/" + kind + "/" + name}
}

// responseName is the shared response of a status, with the headers of limits or
// without.
func responseName(status int, limited bool) string {
	if limited {
		return "Limited" + strconv.Itoa(status)
	}
	return "Problem" + strconv.Itoa(status)
}

func (f failure) response(limited bool) response {
	r := response{Description: f.text, Headers: headerRefs("X-Request-ID"), Content: map[string]content{
		"application/problem+json": {Schema: map[string]any{"allOf": []any{
			ref("schemas", "Problem"),
			map[string]any{"properties": map[string]any{
				"status": map[string]any{"enum": []int{f.status}},
				"code":   map[string]any{"enum": f.codes},
			}},
		}}},
	}}
	add(r.Headers, f.headers...)
	if limited {
		add(r.Headers, limitHeaders()...)
	}
	return r
}

func headerRefs(names ...string) map[string]any {
	refs := map[string]any{}
	add(refs, names...)
	return refs
}

func add(refs map[string]any, names ...string) {
	for _, name := range names {
		refs[name] = ref("headers", name)
	}
}

// shared describes what all operations refer to, in as many bytes for a thousand
// routes as for one.
func shared() components {
	c := components{
		SecuritySchemes: map[string]map[string]string{
			"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
			"apiKey": {"type": "apiKey", "in": "header", "name": auth.APIKeyHeader},
		},
		Schemas:   map[string]any{"Problem": problemSchema()},
		Headers:   headers(),
		Responses: map[string]response{},
	}
	for _, limited := range []bool{false, true} {
		for _, f := range failures() {
			c.Responses[responseName(f.status, limited)] = f.response(limited)
		}
		c.Responses[upstreamName(limited)] = upstream(limited)
	}
	return c
}

func upstreamName(limited bool) string {
	if limited {
		return "LimitedUpstream"
	}
	return "Upstream"
}

// upstream is the answer that the gateway passes on, whatever its status.
func upstream(limited bool) response {
	r := response{Description: "The upstream's answer", Headers: headerRefs("X-Request-ID")}
	if limited {
		add(r.Headers, limitHeaders()...)
	}
	return r
}

// problemSchema is RFC 9457 with two members of the gateway's own.
func problemSchema() map[string]any {
	text := func(description string) map[string]any {
		return map[string]any{"type": "string", "description": description}
	}
	return map[string]any{
		"type":     "object",
		"required": []string{"type", "title", "status", "code", "request_id"},
		"properties": map[string]any{
			"type":       text("always about:blank"),
			"title":      text("for people; may change"),
			"status":     map[string]any{"type": "integer", "minimum": 400, "maximum": 599},
			"code":       text("for programs; stable"),
			"request_id": text("names the request in the gateway's log and traces"),
		},
	}
}

func headers() map[string]any {
	header := func(kind, description string, required bool) map[string]any {
		return map[string]any{"description": description, "required": required, "schema": map[string]any{"type": kind}}
	}
	return map[string]any{
		"X-Request-ID":          header("string", "The client's own, if it sent a sane one, or a new one", true),
		"WWW-Authenticate":      header("string", "How to authenticate (RFC 6750)", true),
		"Allow":                 header("string", "The methods that are allowed", true),
		"Retry-After":           header("integer", "Seconds until another try is worth it", false),
		"RateLimit":             header("string", `"NAME";r=REMAINING;t=SECONDS, of the limit nearest to its end`, false),
		"RateLimit-Policy":      header("string", `"NAME";q=BURST;w=SECONDS`, false),
		"X-RateLimit-Limit":     header("integer", "Requests the bucket holds", false),
		"X-RateLimit-Remaining": header("integer", "Requests left in it", false),
		"X-RateLimit-Reset":     header("integer", "Seconds until it is full, or holds the next one if it is empty", false),
	}
}
