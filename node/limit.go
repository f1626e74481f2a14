package node

import (
	"slices"

	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/limiter"
	"github.com/go-api-gateway-pro/gateway/node/config"
)

// limit is a configured limit with what names a request's bucket. A request
// without the user, header or claim counts by ip, under a second identity of the
// limit: no user id can be chosen to look like an address.
type limit struct {
	limit, byIP limiter.Limit
	cost        int
	header      string
	claim       int // its place among the claims that principals keep
}

func newLimit(route string, l *config.RateLimit, claims []string) *limit {
	out := &limit{limit: l.Limit(route), cost: l.Tokens(), header: l.Key(), claim: slices.Index(claims, l.Key())}
	out.byIP = out.limit
	out.byIP.ID = "ip:" + out.byIP.ID // begins no other: those with a path, a name: or global
	return out
}

// bucket is what the request is charged to.
func (l *limit) bucket(ctx *fasthttp.RequestCtx, x *exchange) limiter.Bucket {
	key := ""
	switch l.limit.Scope {
	case limiter.ScopeGlobal:
		return limiter.Bucket{Limit: &l.limit, Cost: l.cost}
	case limiter.ScopeUser:
		key = x.who.User
	case limiter.ScopeHeader:
		key = string(ctx.Request.Header.Peek(l.header))
	case limiter.ScopeClaim:
		key = x.who.Claim(l.claim)
	}
	if key == "" && l.limit.Scope != limiter.ScopeIP {
		return limiter.Bucket{Limit: &l.byIP, Key: x.snapshot.addresses.LimitKey(x.client), Cost: l.cost}
	}
	if l.limit.Scope == limiter.ScopeIP {
		key = x.snapshot.addresses.LimitKey(x.client)
	}
	return limiter.Bucket{Limit: &l.limit, Key: key, Cost: l.cost}
}
