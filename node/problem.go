package node

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/auth"
	"github.com/go-api-gateway-pro/gateway/proxy"
	"github.com/go-api-gateway-pro/gateway/proxy/router"
)

var (
	errLimited  = errors.New("rate limit exceeded")
	errPanicked = errors.New("request panicked")
	errAddress  = errors.New("address not allowed")
	errCrowded  = errors.New("too many requests under way")
	errMethod   = errors.New("method not allowed on a built-in endpoint")

	errBodyTooLarge    = errors.New("request body too large")
	errHeadersTooLarge = errors.New("request headers too large")
	errUnknownMethod   = errors.New("unknown method")
	errMalformed       = errors.New("malformed request")
	errAmbiguous       = errors.New("several credentials of one kind")
	errSlowRequest     = errors.New("request not received in time")
	errExpectation     = errors.New("request body not asked for")
	errConnections     = errors.New("too many connections")
	errVersion         = errors.New("HTTP version not spoken")
)

// statusClientGone is nobody's answer: it marks in logs and metrics, as it does in
// nginx's, a request whose client did not wait.
const statusClientGone = 499

// problem is what a client learns about an error; the cause goes to the log.
type problem struct {
	status int
	code   string // stable, for programs
	text   string // for people
}

// problems is the one table from errors to responses. What is not in it is a
// bare 500.
func problems() []struct {
	err error
	problem
} {
	return []struct {
		err error
		problem
	}{
		{router.ErrBadPath, problem{400, "bad-path", "The request path is not acceptable."}},
		{errMalformed, problem{400, "bad-request", "The request is malformed."}},
		{errAmbiguous, problem{400, "bad-request", "The request has several credentials of one kind."}},
		{auth.ErrMissing, problem{401, "token-missing", "A bearer token is required."}},
		{auth.ErrInvalid, problem{401, "token-invalid", "The bearer token is not valid."}},
		{auth.ErrForbidden, problem{403, "forbidden", "The caller may not do this."}},
		{errAddress, problem{403, "address-denied", "This address may not come here."}},
		{router.ErrNoRoute, problem{404, "no-route", "Nothing is served at this path."}},
		{errMethod, problem{405, "method-not-allowed", "The method is not allowed here."}},
		{errSlowRequest, problem{408, "request-timeout", "The request did not arrive in time."}},
		{errBodyTooLarge, problem{413, "body-too-large", "The request body is too large."}},
		{errExpectation, problem{417, "expectation-failed", "The request body was not asked for."}},
		{errConnections, problem{429, "too-many-connections", "Too many connections from this address."}},
		{errLimited, problem{429, "rate-limited", "Too many requests."}},
		{errHeadersTooLarge, problem{431, "headers-too-large", "The request headers are too large."}},
		{context.Canceled, problem{statusClientGone, "client-gone", "The client went away."}},
		{errPanicked, problem{500, "internal", "The gateway failed."}},
		{errUnknownMethod, problem{501, "method-unknown", "The method is not known."}},
		{proxy.ErrUpstream, problem{502, "upstream-failed", "The upstream did not answer properly."}},
		{auth.ErrUnavailable, problem{503, "keys-unavailable", "Tokens cannot be verified at the moment."}},
		{errCrowded, problem{503, "overloaded", "Too many requests are under way."}},
		{proxy.ErrNoBackend, problem{503, "no-upstream", "No upstream is available."}},
		{proxy.ErrOpen, problem{503, "upstream-open", "The upstream is failing and being spared."}},
		{proxy.ErrTimeout, problem{504, "upstream-timeout", "The upstream did not answer in time."}},
		{errVersion, problem{505, "version", "HTTP/1.1 is spoken here."}},
	}
}

// problemOf looks an error up in the table.
func problemOf(err error) problem {
	var method *router.MethodError
	if errors.As(err, &method) {
		return problem{405, "method-not-allowed", "The method is not allowed here."}
	}
	for _, p := range problems() {
		if errors.Is(err, p.err) {
			return p.problem
		}
	}
	return problem{500, "internal", "The gateway failed."}
}

// writeProblem answers with application/problem+json (RFC 9457).
func writeProblem(ctx *fasthttp.RequestCtx, err error, x *exchange) {
	p := problemOf(err)
	resp := &ctx.Response
	resp.Reset()
	resp.SetStatusCode(p.status)
	resp.Header.SetContentType("application/problem+json")
	resp.Header.Set("Cache-Control", "no-store")
	resp.Header.Set("X-Content-Type-Options", "nosniff")
	switch p.status {
	case fasthttp.StatusUnauthorized, fasthttp.StatusForbidden:
		resp.Header.Set("WWW-Authenticate", challenge(err))
	case fasthttp.StatusMethodNotAllowed:
		resp.Header.Set("Allow", allowed(err))
	}
	resp.SetBodyRaw(p.body(x.id))
}

// body renders the problem. Nothing in it comes from inside.
func (p problem) body(requestID string) []byte {
	out, err := json.Marshal(struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Code      string `json:"code"`
		RequestID string `json:"request_id"`
	}{"about:blank", p.text, p.status, p.code, requestID})
	if err != nil {
		panic("BUG: a problem does not encode: " + err.Error())
	}
	return out
}

// challenge is the WWW-Authenticate value of RFC 6750 §3.
func challenge(err error) string {
	switch {
	case errors.Is(err, auth.ErrMissing):
		return `Bearer realm="api-gateway"`
	case errors.Is(err, auth.ErrForbidden):
		return `Bearer realm="api-gateway", error="insufficient_scope"`
	}
	return `Bearer realm="api-gateway", error="invalid_token"`
}

func allowed(err error) string {
	var method *router.MethodError
	if errors.As(err, &method) {
		return strings.Join(method.Allow, ", ")
	}
	return "GET, HEAD"
}
