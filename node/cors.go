package node

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/node/config"
)

// cors answers for the Fetch standard's CORS protocol. It is off while no
// origin is allowed: then the upstreams' own answers pass untouched. The opaque
// origin "null", which any sandboxed frame has, is nobody's and never allowed by
// name.
type cors struct {
	origins     []string
	any         bool
	credentials bool
	methods     string
	headers     string
	expose      string
	maxAge      string
}

func newCORS(c config.CORS) *cors {
	return &cors{
		origins:     c.AllowOrigins,
		any:         slices.Contains(c.AllowOrigins, "*"),
		credentials: c.AllowCredentials,
		methods:     strings.Join(c.AllowMethods, ", "),
		headers:     strings.Join(c.AllowHeaders, ", "),
		expose:      strings.Join(c.ExposeHeaders, ", "),
		maxAge:      strconv.Itoa(c.MaxAgeS),
	}
}

func (c *cors) enabled() bool { return len(c.origins) > 0 }

// isPreflight reports whether the gateway itself answers the request.
func (c *cors) isPreflight(req *fasthttp.Request) bool {
	return c.enabled() && string(req.Header.Method()) == fasthttp.MethodOptions &&
		len(req.Header.Peek("Origin")) > 0 && len(req.Header.Peek("Access-Control-Request-Method")) > 0
}

// apply sets the response's CORS headers for the request's origin; those of the
// upstream are gone.
func (c *cors) apply(origin string, h *fasthttp.ResponseHeader, preflight bool) {
	if !c.enabled() {
		return
	}
	if preflight {
		h.Add("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
	} else if !c.any {
		h.Add("Vary", "Origin")
	}
	if origin == "" || !c.any && !slices.Contains(c.origins, origin) {
		return
	}
	if c.any {
		origin = "*"
	}
	h.Set("Access-Control-Allow-Origin", origin)
	if c.credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if preflight {
		c.applyPreflight(h)
		return
	}
	if c.expose != "" {
		h.Set("Access-Control-Expose-Headers", c.expose)
	}
}

// originOf returns the request's origin, "" if it names none or several.
func originOf(h *fasthttp.RequestHeader, names fieldNames) string {
	values := names.peekAll(h, "Origin")
	if len(values) != 1 {
		return ""
	}
	return string(values[0])
}

func (c *cors) applyPreflight(h *fasthttp.ResponseHeader) {
	h.Set("Access-Control-Allow-Methods", c.methods)
	h.Set("Access-Control-Allow-Headers", c.headers)
	h.Set("Access-Control-Max-Age", c.maxAge)
}

func isCORS(name []byte) bool {
	if !bytes.HasPrefix(name, []byte("Access-Control-")) {
		return false
	}
	switch string(name[len("Access-Control-"):]) {
	case "Allow-Origin", "Allow-Credentials", "Allow-Methods", "Allow-Headers", "Expose-Headers", "Max-Age", "Allow-Private-Network":
		return true
	}
	return false
}
