package node

import (
	"net/netip"

	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/auth"
	"github.com/go-api-gateway-pro/gateway/node/config"
	"github.com/go-api-gateway-pro/gateway/proxy"
	"github.com/go-api-gateway-pro/gateway/proxy/router"
)

// shape fills in who may come to the route and what it changes about requests
// and responses.
func (r *route) shape(c *config.Route) (err error) {
	if r.allow, err = auth.ParseNetworks("allow", c.Allow); err != nil {
		return err
	}
	if r.deny, err = auth.ParseNetworks("deny", c.Deny); err != nil {
		return err
	}
	if c.Rewrite != "" {
		if r.rewrite, err = router.NewRewrite(c.Path, c.Rewrite); err != nil {
			return err
		}
	}
	if c.CORS != nil {
		r.cors = newCORS(*c.CORS)
	}
	r.responseHeaders = proxy.NewHeaderChange(c.ResponseHeaders)
	r.maxInFlight = c.MaxInFlight
	return nil
}

// welcomes reports whether an address may come here: it is not denied, and
// allowed if only some are.
func (r *route) welcomes(client netip.Addr) bool {
	return !r.deny.Contain(client) && (len(r.allow) == 0 || r.allow.Contain(client))
}

func (r *route) upstreamPath(path string) string {
	if r.rewrite == nil {
		return path
	}
	return r.rewrite.Apply(path)
}

// preflightCORS finds the rules of the route that a preflight asks about, before
// any route is chosen: it names the method in a header. nil: the cluster's rules.
func (s *snapshot) preflightCORS(ctx *fasthttp.RequestCtx) *cors {
	asked := ctx.Request.Header.Peek("Access-Control-Request-Method")
	if !s.routeCORS || len(asked) == 0 {
		return nil
	}
	path, err := router.CanonicalPath(ctx.URI().PathOriginal())
	if err != nil {
		return nil
	}
	route, err := s.match(methodName(asked), string(ctx.Request.Header.Host()), path)
	if err != nil {
		return nil
	}
	return route.cors
}
