// Package openapi describes the configured routes as an OpenAPI 3.0 document.
//
// A gateway knows its routes' paths, methods, guards and limits, not the bodies
// of the services behind them: the document says what the gateway itself does.
package openapi

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-api-gateway-pro/gateway/auth"
	"github.com/go-api-gateway-pro/gateway/node/config"
)

type (
	document struct {
		OpenAPI    string                          `json:"openapi"`
		Info       info                            `json:"info"`
		Paths      map[string]map[string]operation `json:"paths"`
		Components components                      `json:"components"`
	}
	info struct {
		Title       string `json:"title"`
		Version     string `json:"version"`
		Description string `json:"description"`
	}
	operation struct {
		OperationID string                `json:"operationId"`
		Summary     string                `json:"summary"`
		Description string                `json:"description,omitempty"`
		Tags        []string              `json:"tags"`
		Parameters  []parameter           `json:"parameters,omitempty"`
		Security    []map[string][]string `json:"security,omitempty"`
		Responses   map[string]response   `json:"responses"`
	}
	parameter struct {
		Name        string            `json:"name"`
		In          string            `json:"in"`
		Required    bool              `json:"required"`
		Description string            `json:"description"`
		Schema      map[string]string `json:"schema"`
	}
	response struct {
		Description string             `json:"description"`
		Content     map[string]content `json:"content,omitempty"`
	}
	content struct {
		Schema map[string]string `json:"schema"`
	}
	components struct {
		SecuritySchemes map[string]map[string]string `json:"securitySchemes"`
		Schemas         map[string]any               `json:"schemas"`
	}
)

// Document renders the configuration's routes and the built-in endpoints.
func Document(cfg *config.Config, version string) ([]byte, error) {
	doc := document{
		OpenAPI:    "3.0.3",
		Info:       info{Title: "API gateway", Version: version, Description: "The routes this gateway serves, generated from its running configuration."},
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

func builtin(path string) operation {
	return operation{
		Summary: "Built-in endpoint " + path, Tags: []string{"gateway"},
		Responses: map[string]response{"200": {Description: "OK"}},
	}
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
		return []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}
	}
	var out []string
	for _, m := range r.Methods {
		if m != "CONNECT" {
			out = append(out, strings.ToLower(m))
		}
	}
	return out
}

func routeOperation(r *config.Route) operation {
	op := operation{
		Description: describe(r),
		Tags:        []string{r.Label()},
		Responses: map[string]response{
			"default": {Description: "The upstream's answer"},
			"502":     failure("The upstream did not answer properly"),
			"503":     failure("No upstream is available"),
			"504":     failure("The upstream did not answer in time"),
		},
	}
	if r.Authenticates() {
		op.Responses["401"] = failure("The credentials are missing or not valid")
	}
	if r.Require != nil {
		op.Responses["403"] = failure("The caller lacks a scope or claim, or its address is not allowed")
	}
	if r.Require == nil && len(r.Allow)+len(r.Deny) > 0 {
		op.Responses["403"] = failure("The client's address is not allowed")
	}
	if len(r.Limits()) > 0 {
		op.Responses["429"] = failure("Too many requests; Retry-After says when to come back")
	}
	return op
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

func failure(text string) response {
	return response{Description: text, Content: map[string]content{
		"application/problem+json": {Schema: map[string]string{"$ref": "#/components/schemas/Problem"}},
	}}
}

func shared() components {
	text := map[string]string{"type": "string"}
	return components{
		SecuritySchemes: map[string]map[string]string{
			"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
			"apiKey": {"type": "apiKey", "in": "header", "name": auth.APIKeyHeader},
		},
		Schemas: map[string]any{"Problem": map[string]any{
			"type":     "object",
			"required": []string{"type", "title", "status", "code", "request_id"},
			"properties": map[string]any{
				"type": text, "title": text, "status": map[string]string{"type": "integer"}, "code": text, "request_id": text,
			},
		}},
	}
}
