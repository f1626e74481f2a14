package proxy

import (
	"bytes"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// rewrite turns the client's request into the one for the upstream.
func (u *Upstream) rewrite(x *Exchange) {
	h := &x.Request.Header
	f := forwardedOf(x)
	trailers, wantsTrailers := u.cleanRequest(x)
	h.ResetConnectionClose()
	h.SetProtocol("HTTP/1.1")
	h.SetNoDefaultContentType(true)
	f.set(x)
	setClean(h, "X-Request-Id", []byte(x.RequestID))
	for _, id := range x.Headers {
		if id.Value != "" { // the client's are gone
			h.Set(id.Name, id.Value)
		}
	}
	u.headers.request(h)
	if wantsTrailers {
		setClean(h, "Te", []byte("trailers"))
	}
	if x.Upgrade {
		setUpgrade(h)
	}
	announce(x, trailers)
}

// announce says again which fields follow the body, last of all: what is set
// under an announced name would become one of them. Those of a body that was read
// whole have come already.
func announce(x *Exchange, trailers []Header) {
	h := &x.Request.Header
	for _, t := range trailers {
		if !x.mayTrail([]byte(t.Name)) || len(h.Peek(t.Name)) > 0 || h.AddTrailer(t.Name) != nil {
			continue
		}
		if t.Value != "" {
			h.Add(t.Name, t.Value)
		}
	}
}

// mayTrail says whether a client may send the field after its body: not under a
// name that the gateway sets or removes, nor under one that is taken for it.
func (x *Exchange) mayTrail(name []byte) bool {
	same := func(other string) bool { return dashed(string(name)) == dashed(other) }
	return !isHopByHop(name) && !isForwarding(name) && !x.via.isAlias(name, x) && !x.via.headers.governs(dashed(string(name))) &&
		!slices.ContainsFunc([]string{"X-Request-ID", "Traceparent", "Tracestate", "Baggage"}, same) &&
		!slices.ContainsFunc(x.Remove, same) && !slices.ContainsFunc(x.Headers, func(h Header) bool { return same(h.Name) })
}

// PruneTrailers drops from a body stream's trailers, once they have come, those
// that the client may not send. The caller's stream must call it at its end.
func (x *Exchange) PruneTrailers() {
	h := &x.Request.Header
	var bad []string
	for _, name := range h.PeekTrailerKeys() {
		if !x.mayTrail(name) {
			bad = append(bad, string(name))
		}
	}
	for _, name := range bad {
		h.Del(name)
	}
}

// setTarget writes path, query and host. With the host set and the URI not
// parsed, the request is written as it stands: neither normalised, nor with a
// user and password from the client's URI as Authorization.
func (u *Upstream) setTarget(x *Exchange, to address) {
	var stack [512]byte
	uri := append(stack[:0], to.base...)
	uri = append(uri, stripPrefix(x.Path, u.config.StripPrefix)...)
	raw, _, _ := bytes.Cut(x.Request.Header.RequestURI(), []byte("#"))
	if i := bytes.IndexByte(raw, '?'); i >= 0 {
		uri = append(uri, raw[i:]...)
	}
	x.Request.SetRequestURIBytes(uri)
	if u.config.PreserveHost && x.Host != "" {
		x.Request.Header.SetHost(x.Host)
		return
	}
	x.Request.Header.SetHost(to.authority)
}

// stripPrefix cuts whole segments: /api leaves /apix alone.
func stripPrefix(path, prefix string) string {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(prefix, "/"))
	switch {
	case !ok:
		return path
	case rest == "":
		return "/"
	case rest[0] != '/':
		return path
	}
	return rest
}

// setHeader replaces all fields of the name, by none if the value is empty; Set
// alone would leave a second one.
func setHeader(h *fasthttp.RequestHeader, name, value string) {
	h.Del(name)
	if value != "" {
		h.Set(name, value)
	}
}

// cleanRequest drops what is meant for this hop only and what a client may not
// say. The client's words are dropped before the gateway's own are set, since a
// client can name any header in Connection or Trailer. It returns the fields
// announced in Trailer, which is dropped too, and whether the client takes trailers.
func (u *Upstream) cleanRequest(x *Exchange) (trailers []Header, wantsTrailers bool) {
	h := &x.Request.Header
	var stack [16]string
	names := stack[:0]
	for _, key := range h.PeekTrailerKeys() {
		t := Header{Name: string(key)}
		if !x.Request.IsBodyStream() {
			t.Value = string(h.Peek(t.Name))
			names = append(names, t.Name)
		}
		trailers = append(trailers, t)
	}
	cookies := bytes.Join(h.PeekAll("Cookie"), []byte("; "))
	var odd []string
	for key, value := range h.All() {
		if !isToken(key) {
			odd = append(odd, string(key))
		} else if name := x.replaced(key); name != "" {
			names = append(names, name)
		} else if name := hopByHop(key); name != "" {
			names = appendNominated(append(names, name), name, value)
			wantsTrailers = wantsTrailers || string(key) == "Te" && bytes.EqualFold(value, []byte("trailers"))
		} else if isForwarding(key) && !keepForwarding(x, key) || u.isAlias(key, x) {
			names = append(names, string(key))
		}
	}
	for _, name := range names {
		if !isFraming(name) {
			h.Del(name)
		}
	}
	dropOdd(h, odd)
	if !containsFold(names, "Cookie") && !containsFold(x.Remove, "Cookie") {
		restoreCookies(h, cookies)
	}
	// Only now: without its announcement a trailer field becomes a header.
	if len(h.PeekTrailerKeys()) > 0 {
		h.Del("Trailer")
	}
	return trailers, wantsTrailers
}

// restoreCookies puts the client's own text back: to list the fields fasthttp has
// parsed the cookies, and loses those it takes for malformed, as JSON in them.
func restoreCookies(h *fasthttp.RequestHeader, cookies []byte) {
	if len(cookies) == 0 {
		return
	}
	h.Del("Cookie")
	h.DisableSpecialHeader() // or it would be parsed again
	h.AddBytesV("Cookie", cookies)
	h.EnableSpecialHeader()
}

func containsFold(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// dropOdd removes names that are not tokens. They are stored as they came, so
// they must be looked up as they came.
func dropOdd(h *fasthttp.RequestHeader, odd []string) {
	if len(odd) == 0 {
		return
	}
	h.DisableNormalizing()
	for _, name := range odd {
		h.Del(name)
	}
	h.EnableNormalizing()
}

// appendNominated adds the names that a field lists, if it is Connection.
func appendNominated(names []string, name string, value []byte) []string {
	if name != "Connection" {
		return names
	}
	for token := range bytes.SplitSeq(value, []byte(",")) {
		token = bytes.TrimSpace(token)
		if len(token) > 0 && !isConnectionOption(token) {
			names = append(names, string(token))
		}
	}
	return names
}

func isConnectionOption(token []byte) bool {
	return bytes.EqualFold(token, []byte("close")) || bytes.EqualFold(token, []byte("keep-alive"))
}

// isFraming names the fields that neither Connection nor Trailer can take away:
// without them the message would be another one.
func isFraming(name string) bool {
	return strings.EqualFold(name, "Host") || strings.EqualFold(name, "Content-Length") ||
		strings.EqualFold(name, "Transfer-Encoding")
}

func isHopByHop(key []byte) bool { return hopByHop(key) != "" }

// hopByHop returns the name of what is meant for one hop only, "" for all else. It
// knows names as fasthttp normalises them.
func hopByHop(key []byte) string {
	for _, name := range hopByHopNames {
		if string(key) == name {
			return name
		}
	}
	return ""
}

var hopByHopNames = []string{ //nolint:gochecknoglobals // a constant table
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Upgrade", "Expect", "Http2-Settings",
}

// replaced returns the name of what the gateway says in the client's place, or does
// not pass on; "" for anything else.
func (x *Exchange) replaced(key []byte) string {
	same := func(name string) bool { return len(key) == len(name) && strings.EqualFold(string(key), name) }
	switch {
	case x.RequestID != "" && same("X-Request-Id"):
		return "X-Request-Id"
	case x.Trace.IsValid() && same("Traceparent"):
		return "Traceparent"
	case x.Trace.IsValid() && same("Tracestate"):
		return "Tracestate"
	}
	for _, name := range x.Remove {
		if same(name) {
			return name
		}
	}
	for _, header := range x.Headers {
		if same(header.Name) {
			return header.Name
		}
	}
	return ""
}

// isAlias finds names that servers which map both - and _ to _ confuse with one
// the gateway sets or removes.
func (u *Upstream) isAlias(key []byte, x *Exchange) bool {
	if bytes.IndexByte(key, '_') < 0 {
		return false
	}
	name := dashed(string(key))
	switch name {
	case "x-real-ip", "x-request-id", "content-length", "transfer-encoding":
		return true
	}
	if strings.HasPrefix(name, "x-forwarded-") || containsFold(hopByHopNames, name) || u.headers.governs(name) {
		return true
	}
	for _, id := range x.Headers {
		if name == dashed(id.Name) {
			return true
		}
	}
	for _, removed := range x.Remove {
		if name == dashed(removed) {
			return true
		}
	}
	return false
}

func dashed(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}

func isToken(key []byte) bool {
	for _, c := range key {
		if !tokenBytes[c] {
			return false
		}
	}
	return len(key) > 0
}

// tokenBytes are those of a name (RFC 9110 §5.6.2).
var tokenBytes = func() (is [256]bool) { //nolint:gochecknoglobals // a constant table
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		is[c] = true
	}
	return is
}()

// cleanResponse drops what was meant for the gateway alone. Whether the client's
// connection stays open is not the upstream's to say.
func cleanResponse(r *fasthttp.Response) {
	h := &r.Header
	var stack [16]string
	names := stack[:0]
	for key, value := range h.All() {
		if name := hopByHop(key); name != "" {
			names = appendNominated(append(names, name), name, value)
		}
	}
	for _, name := range names {
		if !isFraming(name) {
			h.Del(name)
		}
	}
	h.ResetConnectionClose()
	h.SetProtocol([]byte("HTTP/1.1"))
}

// setClean sets a field that cleanRequest has dropped, whose name is spelled as
// fasthttp normalises it, which saves that work; an empty value is left out. The
// value need not outlive the call.
func setClean(h *fasthttp.RequestHeader, name string, value []byte) {
	if len(value) > 0 {
		h.SetCanonical([]byte(name), value)
	}
}
