// Package openapi describes the configured routes as an OpenAPI 3.0 document.
//
// A gateway knows its routes' paths, methods, guards and limits, not the bodies
// of the services behind them: the document says what the gateway itself does.
package openapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-api-gateway-pro/gateway/node/config"
)

type (
	document struct {
		OpenAPI    string                          `json:"openapi"`
		Info       info                            `json:"info"`
		Servers    []server                        `json:"servers"`
		Paths      map[string]map[string]operation `json:"paths"`
		Components components                      `json:"components"`
	}
	info struct {
		Title       string `json:"title"`
		Version     string `json:"version"`
		Description string `json:"description"`
	}
	server struct {
		URL       string                       `json:"url"`
		Variables map[string]map[string]string `json:"variables,omitempty"`
	}
	operation struct {
		OperationID string                `json:"operationId"`
		Summary     string                `json:"summary"`
		Description string                `json:"description,omitempty"`
		Tags        []string              `json:"tags"`
		Servers     []server              `json:"servers,omitempty"`
		Parameters  []parameter           `json:"parameters,omitempty"`
		RequestBody *requestBody          `json:"requestBody,omitempty"`
		Security    []map[string][]string `json:"security,omitempty"`
		Responses   map[string]any        `json:"responses"` // each a response or a reference to one
	}
	parameter struct {
		Name        string            `json:"name"`
		In          string            `json:"in"`
		Required    bool              `json:"required"`
		Description string            `json:"description"`
		Schema      map[string]string `json:"schema"`
	}
	requestBody struct {
		Description string             `json:"description"`
		Content     map[string]content `json:"content"`
	}
	response struct {
		Description string             `json:"description"`
		Headers     map[string]any     `json:"headers,omitempty"`
		Content     map[string]content `json:"content,omitempty"`
	}
	content struct {
		Schema map[string]any `json:"schema"`
	}
	components struct {
		SecuritySchemes map[string]map[string]string `json:"securitySchemes"`
		Schemas         map[string]any               `json:"schemas"`
		Headers         map[string]any               `json:"headers"`
		Responses       map[string]response          `json:"responses"`
	}
)

// Document renders the configuration's routes and the built-in endpoints.
func Document(cfg *config.Config, version string) ([]byte, error) {
	doc := document{
		OpenAPI: "3.0.3",
		Info: info{
			Title: "API gateway", Version: version,
			Description: "The routes this gateway serves, generated from its running configuration. Where GET is allowed, HEAD is.",
		},
		Servers:    []server{{URL: "/"}},
		Paths:      map[string]map[string]operation{},
		Components: shared(),
	}
	served := newCatalogue(doc.Paths)
	for _, path := range cfg.Server.Builtin.DataPaths() {
		served.add(path, "get", builtin(path))
	}
	if err := served.addRoutes(cfg); err != nil {
		return nil, err
	}
	out, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("cannot encode the OpenAPI document: %w", err)
	}
	return out, nil
}

// builtin describes an endpoint of the gateway's own, which knows neither limits
// nor credentials.
func builtin(path string) operation {
	one := func(text, mediaType string, schema map[string]any) response {
		return response{Description: text, Headers: headerRefs("X-Request-ID"), Content: map[string]content{mediaType: {Schema: schema}}}
	}
	text := map[string]any{"type": "string"}
	says := func(states ...string) map[string]any {
		return map[string]any{"type": "object", "required": []string{"status"}, "properties": map[string]any{
			"status": map[string]any{"type": "string", "enum": states},
			"limits": map[string]any{"type": "string", "enum": []string{"redis", "local"}},
		}}
	}
	op := operation{Summary: "Built-in endpoint " + path, Tags: []string{"gateway"}, Responses: map[string]any{}}
	switch path {
	case "/health":
		op.Responses["200"] = one("The process lives", "application/json", says("ok"))
	case "/ready":
		op.Responses["200"] = one("Send requests here", "application/json", says("ready", "degraded"))
		op.Responses["503"] = one("Send no new requests here", "application/json", says("draining"))
	case "/metrics":
		op.Responses["200"] = one("Metrics as Prometheus reads them", "text/plain", text)
	case "/docs":
		op.Responses["200"] = one("This page", "text/html", text)
	default:
		op.Responses["200"] = one("This document", "application/json", map[string]any{"type": "object"})
	}
	for _, status := range []int{400, 405, 429, 431, 500} {
		op.Responses[strconv.Itoa(status)] = ref("responses", responseName(status, false))
	}
	return op
}

// waysIn lists the credentials of which a route takes any one; an empty one is
// none at all.
func waysIn(cfg *config.Config, r *config.Route) []map[string][]string {
	if !r.Authenticates() {
		return nil
	}
	var ways []map[string][]string
	if cfg.JWT.VerifiesTokens() {
		ways = append(ways, map[string][]string{"bearer": {}})
	}
	if len(cfg.APIKeys) > 0 {
		ways = append(ways, map[string][]string{"apiKey": {}})
	}
	if r.AuthOptional {
		ways = append(ways, map[string][]string{})
	}
	return ways
}

// methods lists a route's methods as OpenAPI names them; CONNECT has no name
// there.
func methods(r *config.Route) []string {
	if len(r.Methods) == 0 {
		return []string{"get", "put", "post", "delete", "options", "head", "patch"}
	}
	var out []string
	for _, m := range r.Methods {
		if m != "CONNECT" {
			out = append(out, strings.ToLower(m))
		}
	}
	return out
}

func routeOperation(cfg *config.Config, r *config.Route) operation {
	op := operation{
		Description: describe(r),
		Tags:        []string{r.Label()},
		Servers:     servers(r.Hosts),
		Security:    waysIn(cfg, r),
		Responses:   map[string]any{},
	}
	limited := len(r.Limits()) > 0
	op.Responses["default"] = ref("responses", upstreamName(limited))
	for _, f := range failures() {
		if canFail(r, f.status) {
			op.Responses[strconv.Itoa(f.status)] = ref("responses", responseName(f.status, limited))
		}
	}
	return op
}

// canFail reports whether requests for a route can get a status from the gateway.
func canFail(r *config.Route, status int) bool {
	switch status {
	case 401:
		return r.Authenticates()
	case 403:
		return r.Require != nil || len(r.Allow)+len(r.Deny) > 0
	case 501, 505: // not with a method and a version that are described here
		return false
	}
	return true
}

// servers are the hosts a route is for; none: every host.
func servers(hosts []string) []server {
	var out []server
	for _, host := range hosts {
		s := server{URL: "//" + host}
		if rest, wild := strings.CutPrefix(host, "*."); wild {
			s.URL = "//{name}." + rest
			s.Variables = map[string]map[string]string{"name": {"default": "www"}}
		}
		out = append(out, s)
	}
	return out
}

// body describes what may be sent, for methods whose bodies have a meaning.
func body(cfg *config.Config, r *config.Route, method string) *requestBody {
	if !slices.Contains([]string{"post", "put", "patch"}, method) {
		return nil
	}
	limit := r.MaxBodyBytes
	if limit == 0 {
		limit = cfg.Server.BodyLimitBytes
	}
	return &requestBody{
		Description: "Passed on as it is; at most " + strconv.Itoa(limit) + " bytes",
		Content: map[string]content{
			"application/json":         {Schema: map[string]any{}},
			"application/octet-stream": {Schema: map[string]any{"type": "string", "format": "binary"}},
		},
	}
}

// describe puts the route's hosts and limits into words.
func describe(r *config.Route) string {
	var lines []string
	if len(r.Hosts) > 0 {
		lines = append(lines, "On "+strings.Join(r.Hosts, ", ")+":")
	}
	for _, l := range r.Limits() {
		limit, unit := l.Limit(""), "s"
		if l.Per != "" {
			unit = l.Per
		}
		lines = append(lines, "At most "+strconv.Itoa(limit.Rate)+" requests/"+unit+" per "+l.KeyBy+" (burst "+strconv.Itoa(limit.Burst)+").")
	}
	return strings.Join(lines, " ")
}
