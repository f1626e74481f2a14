package node

import (
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/node/config"
)

// answered applies a policy to a request, given by its headers, whose upstream
// answered "*" for itself, and returns what the browser sees, in the order asked.
func answered(c config.CORS, preflight bool, headers []string, names ...string) string {
	var req fasthttp.Request
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	var resp fasthttp.ResponseHeader
	resp.Set("Access-Control-Allow-Origin", "*")
	resp.Set("Access-Control-Allow-Credentials", "true")
	resp.Set("Access-Control-Allow-Private-Network", "true")
	policy := newCORS(c)
	dropReplaced(&resp, policy.enabled(), false)
	policy.apply(originOf(&req.Header, ^fieldNames(0)), &resp, preflight)
	var got []string
	for _, name := range names {
		var values []string
		for _, v := range resp.PeekAll(name) {
			values = append(values, string(v))
		}
		got = append(got, strings.Join(values, "|"))
	}
	return strings.Join(got, "; ")
}

func TestCORSPolicy(t *testing.T) {
	some := config.CORS{AllowOrigins: []string{"https://app.example"}}
	withCredentials := config.CORS{AllowOrigins: []string{"https://app.example"}, AllowCredentials: true}
	everybody := config.CORS{AllowOrigins: []string{"*"}}
	f := func(c config.CORS, want string, headers ...string) {
		t.Helper()
		got := answered(c, false, headers, "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Vary", "Access-Control-Allow-Private-Network")
		if got != want {
			t.Errorf("%v %q: got %q, want %q", c.AllowOrigins, headers, got, want)
		}
	}
	f(config.CORS{}, "*; true; ; true", "Origin: https://evil.example") // off: the upstream's own
	f(some, "https://app.example; ; Origin; ", "Origin: https://app.example")
	f(withCredentials, "https://app.example; true; Origin; ", "Origin: https://app.example")
	f(withCredentials, "; ; Origin; ", "Origin: https://evil.example")
	f(withCredentials, "; ; Origin; ", "Origin: null") // a sandboxed frame
	f(withCredentials, "; ; Origin; ", "Origin: https://app.example.evil.example")
	f(withCredentials, "; ; Origin; ", "Origin: https://evil.example/https://app.example")
	f(withCredentials, "; ; Origin; ", "Origin: http://app.example")
	f(withCredentials, "; ; Origin; ", "Origin: https://app.example:8443")
	f(withCredentials, "; ; Origin; ", "Origin: HTTPS://APP.EXAMPLE")
	f(withCredentials, "; ; Origin; ", "Origin: https://app.example", "Origin: https://evil.example")
	f(withCredentials, "; ; Origin; ")
	f(everybody, "*; ; ; ", "Origin: https://anyone.example")
	f(everybody, "*; ; ; ", "Origin: null")
	f(everybody, "; ; ; ")
}

func TestPreflightPolicy(t *testing.T) {
	c := config.CORS{
		AllowOrigins: []string{"https://app.example"}, AllowMethods: []string{"GET", "PUT"}, AllowHeaders: []string{"Authorization"}, MaxAgeS: 600,
		ExposeHeaders: []string{"X-Total"},
	}
	f := func(want string, headers ...string) {
		t.Helper()
		got := answered(c, true, headers, "Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers",
			"Access-Control-Max-Age", "Access-Control-Expose-Headers", "Vary")
		if got != want {
			t.Errorf("%q: got %q, want %q", headers, got, want)
		}
	}
	const vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
	f("https://app.example; GET, PUT; Authorization; 600; ; "+vary, "Origin: https://app.example")
	f("; ; ; ; ; "+vary, "Origin: https://evil.example")
	f("; ; ; ; ; "+vary, "Origin: null")
}
