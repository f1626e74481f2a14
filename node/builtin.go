package node

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/gofiber/fiber/v3"

	"github.com/go-api-gateway-pro/gateway/node/config"
	"github.com/go-api-gateway-pro/gateway/node/docs"
	"github.com/go-api-gateway-pro/gateway/telemetry"
)

// page is what a built-in endpoint answers.
type page struct {
	status      int
	contentType string
	encoding    string
	policy      string // Content-Security-Policy, for HTML
	body        []byte
}

// builtin makes a built-in endpoint's answer to a request with that Accept header.
type builtin func(accept string) (page, error)

// allBuiltins are the endpoints besides the configured routes.
func (n *Node) allBuiltins() map[string]builtin {
	all := map[string]builtin{
		"/health":       n.health,
		"/ready":        n.ready,
		"/metrics":      n.metrics,
		"/openapi.json": n.openapi,
	}
	for _, asset := range docs.Assets() {
		all[asset.Path] = func(string) (page, error) {
			return page{status: 200, contentType: asset.ContentType, encoding: asset.Encoding, policy: docs.Policy, body: asset.Body}, nil
		}
	}
	return all
}

// newBuiltins picks those of the data port.
func (n *Node) newBuiltins(cfg *config.Config) map[string]builtin {
	return n.pick(cfg.Server.Builtin.DataPaths())
}

func (n *Node) pick(paths []string) map[string]builtin {
	picked := map[string]builtin{}
	for path, b := range n.allBuiltins() {
		if slices.ContainsFunc(paths, func(p string) bool { return path == p || len(path) > len(p) && path[:len(p)+1] == p+"/" }) {
			picked[path] = b
		}
	}
	return picked
}

// adminBuiltins are those that server.builtin moves to the admin port.
func (n *Node) adminBuiltins() map[string]http.HandlerFunc {
	handlers := map[string]http.HandlerFunc{}
	for path, b := range n.pick(n.snapshot.Load().config.Server.Builtin.AdminPaths()) {
		handlers[path] = func(w http.ResponseWriter, r *http.Request) {
			p, err := b(r.Header.Get("Accept"))
			if err != nil {
				n.logger.Error().Err(err).Str("path", path).Msg("built-in endpoint failed")
				http.Error(w, "internal error", http.StatusInternalServerError)
				return
			}
			p.headers(w.Header().Set)
			w.WriteHeader(p.status)
			_, _ = w.Write(p.body) // the client is gone
		}
	}
	return handlers
}

// serveBuiltin answers on the data port.
func (n *Node) serveBuiltin(c fiber.Ctx, path string, b builtin) error {
	x := exchangeOf(c)
	x.builtin = path
	if x.method != "GET" && x.method != "HEAD" {
		return errMethod
	}
	p, err := b(c.Get("Accept"))
	if err != nil {
		return err
	}
	p.headers(c.Set)
	c.Response().SetStatusCode(p.status)
	c.Response().SetBodyRaw(p.body)
	return nil
}

func (p page) headers(set func(name, value string)) {
	set("Content-Type", p.contentType)
	set("X-Content-Type-Options", "nosniff")
	if p.encoding != "" {
		set("Content-Encoding", p.encoding)
		set("Vary", "Accept-Encoding")
	}
	if p.policy != "" {
		set("Content-Security-Policy", p.policy)
	}
}

// health says that the process lives.
func (n *Node) health(string) (page, error) { return jsonPage(200, map[string]string{"status": "ok"}) }

// ready says whether to send requests here. Limiting locally is degraded, not
// unready: a cluster that lost Redis must not lose all its nodes at once.
func (n *Node) ready(string) (page, error) {
	if n.draining.Load() {
		return jsonPage(503, map[string]string{"status": "draining"})
	}
	mode := n.limiter.Mode()
	status := "ready"
	if mode == "local" && len(n.snapshot.Load().config.Redis.Addrs) > 0 {
		status = "degraded"
	}
	return jsonPage(200, map[string]string{"status": status, "limits": mode})
}

func (n *Node) metrics(accept string) (page, error) {
	var out bytes.Buffer
	format := telemetry.NegotiateMetrics(accept)
	err := format.Write(&out, n.registry)
	return page{status: 200, contentType: format.ContentType, body: out.Bytes()}, err
}

func (n *Node) openapi(string) (page, error) {
	body, err := n.snapshot.Load().openapi()
	return page{status: 200, contentType: "application/json", body: body}, err
}

func jsonPage(status int, v any) (page, error) {
	body, err := json.Marshal(v)
	return page{status: status, contentType: "application/json", body: body}, err
}
