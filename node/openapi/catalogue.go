package openapi

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-api-gateway-pro/gateway/node/config"
	"github.com/go-api-gateway-pro/gateway/proxy/router"
)

// catalogue collects operations under the rules of OpenAPI: one template for all
// routes that differ in their parameters' names only, one operation for a method
// on it, and no operationId twice.
type catalogue struct {
	paths     map[string]map[string]operation
	templates map[string]string // by shape: what a template is without its names
	ids       map[string]bool
}

func newCatalogue(paths map[string]map[string]operation) *catalogue {
	return &catalogue{paths: paths, templates: map[string]string{}, ids: map[string]bool{}}
}

// addRoutes adds the most specific first: what a wildcard covers is not what
// answers where an exact route stands. Routes that only differ in their hosts
// share an operation, that for any host being the first.
func (c *catalogue) addRoutes(cfg *config.Config) error {
	routes := cfg.Routes
	type entry struct {
		route    *config.Route
		template string
		rank     int
	}
	var entries []entry
	for i := range routes {
		t, err := router.ParseTemplate(routes[i].Path)
		if err != nil {
			return fmt.Errorf("cannot describe routes[%d]: %w", i, err)
		}
		e := entry{route: &routes[i], template: t.Path}
		if t.Below {
			e.rank = 2
			entries = append(entries, entry{route: e.route, template: below(t), rank: 4 + hosted(e.route)})
		}
		e.rank += hosted(e.route)
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return a.rank - b.rank })
	for _, e := range entries {
		op := routeOperation(cfg, e.route)
		for _, method := range methods(e.route) {
			op.RequestBody = body(cfg, e.route, method)
			c.add(e.template, method, op)
		}
	}
	return nil
}

func hosted(r *config.Route) int { return min(len(r.Hosts), 1) }

// below is the template of what a trailing wildcard matches.
func below(t router.Template) string {
	name := "path"
	for slices.Contains(t.Parameters, name) {
		name = "rest_of_" + name
	}
	return strings.TrimSuffix(t.Path, "/") + "/{" + name + "}"
}

var parameterName = regexp.MustCompile(`\{(\w+)\}`)

// add puts an operation on a template; one that is there stays, and learns of
// the other host's.
func (c *catalogue) add(template, method string, op operation) {
	shape := parameterName.ReplaceAllString(template, "{}")
	if known, ok := c.templates[shape]; ok {
		template = known
	}
	c.templates[shape] = template
	if c.paths[template] == nil {
		c.paths[template] = map[string]operation{}
	}
	if there, ok := c.paths[template][method]; ok {
		if len(op.Servers) > 0 {
			there.Description = strings.TrimSpace(there.Description + " " + op.Description)
			if len(there.Servers) > 0 { // else it is for every host
				there.Servers = append(slices.Clone(there.Servers), op.Servers...)
			}
			c.paths[template][method] = there
		}
		return
	}
	op.OperationID = c.operationID(method, template)
	if op.Summary == "" {
		op.Summary = strings.ToUpper(method) + " " + template
	}
	op.Parameters = parameters(template)
	c.paths[template][method] = op
}

func parameters(template string) []parameter {
	var out []parameter
	for _, name := range parameterName.FindAllStringSubmatch(template, -1) {
		p := parameter{
			Name: name[1], In: "path", Required: true,
			Description: "One segment of the path", Schema: map[string]string{"type": "string"},
		}
		if strings.HasSuffix(p.Name, "path") && strings.HasSuffix(template, "/"+name[0]) {
			p.Description = "What follows; may hold further slashes"
		}
		out = append(out, p)
	}
	return out
}

// operationID is the method and the path's words, with a number where they are
// not unique.
func (c *catalogue) operationID(method, path string) string {
	words := strings.FieldsFunc(path, func(r rune) bool { return !strings.ContainsRune(idRunes, r) })
	base := strings.Join(slices.Concat([]string{method}, words), "_")
	id := base
	for n := 2; c.ids[id]; n++ {
		id = fmt.Sprintf("%s_%d", base, n)
	}
	c.ids[id] = true
	return id
}

const idRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
