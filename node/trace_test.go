package node

import (
	"strings"
	"testing"
)

// A stranger's sampled flag does not have it recorded, here or at the upstream,
// whatever trace id it chose and however many proxies of ours it came through.
func TestStrangersCannotForceTraces(t *testing.T) {
	const tracing = "otel: {endpoint: \"127.0.0.1:1\", sample_ratio: 0}\n"
	f := func(server, traceparent, wantFlags string, headers ...string) {
		t.Helper()
		n := startIn(t.Context(), t, tracing+accessRoutes, "drain_delay_ms: 0"+server)
		n.do("GET", "/open/x", append(headers, "Traceparent: "+traceparent)...)
		got := n.seen.Load().Header.Get("Traceparent")
		if !strings.HasPrefix(got, traceparent[:35]) || !strings.HasSuffix(got, wantFlags) {
			t.Errorf("%s: the upstream saw %q", server, got)
		}
	}
	const id = "00-00000000000000000000000000000001-b7ad6b7169203331-"
	const trusting = `, trusted_proxies: ["127.0.0.1/32"]`
	f("", id+"01", "-00")
	f(trusting, id+"01", "-01") // one of ours, which sampled it
	f(trusting, id+"00", "-00")
	f(trusting, id+"01", "-00", "X-Forwarded-For: 203.0.113.9")
	f(trusting, id+"01", "-00", "X-Forwarded-For: 127.0.0.1, 203.0.113.9")
}
