package admin

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// policy is the Content-Security-Policy of everything here: nothing inline,
// nothing from elsewhere, in nobody's frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// maxForm bounds the body of a login.
const maxForm = 4 << 10

// door decides who may come in.
type door struct {
	names    []string // to be asked by, besides addresses and localhost
	token    token
	sessions *sessions
	log      zerolog.Logger
}

func newDoor(opts Options) *door {
	name, _, _ := net.SplitHostPort(opts.Addr)
	return &door{
		names:    append([]string{name}, opts.Hosts...),
		token:    newToken(opts.Token),
		sessions: newSessions(opts.Token, opts.Now),
		// Whoever tries tokens must not fill the log with it.
		log: opts.Log.Sample(&zerolog.BurstSampler{Burst: 5, Period: time.Second}),
	}
}

// guard lets in who names an acceptable host and shows the token.
func (d *door) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secureHeaders(w.Header())
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		who := d.recognise(r)
		switch {
		case !d.acceptsHost(r.Host):
			http.Error(w, "Host must be an IP address, localhost, admin.host or one of admin.hosts", http.StatusMisdirectedRequest)
		case !d.token.set && !reads:
			http.Error(w, "read-only without admin.token", http.StatusForbidden)
		case r.URL.Path == "/login", reads && strings.HasPrefix(r.URL.Path, pagePath):
			next.ServeHTTP(w, r) // the page's files are no secret, and the login needs them
		case who == nobody && reads && strings.Contains(r.Header.Get("Accept"), "text/html"):
			redirect(w, r, "login")
		case who == nobody:
			w.Header().Set("WWW-Authenticate", `Bearer realm="admin"`)
			http.Error(w, "admin token required", http.StatusUnauthorized)
		case who == byCookie && !reads && !isSameOrigin(r):
			http.Error(w, "Origin must be this page's own", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// secureHeaders are on every answer; a built-in page with a policy of its own
// replaces it.
func secureHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer browsers would send Origin: null along with forms
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// visitor is how a request was recognised.
type visitor int

const (
	nobody visitor = iota
	byToken
	byCookie
)

// recognise looks at the Authorization header and, only if there is none, at the
// cookie. Without a token to show everybody is welcome to read.
func (d *door) recognise(r *http.Request) visitor {
	if !d.token.set {
		return byToken
	}
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, shown, _ := strings.Cut(header, " ")
		if strings.EqualFold(scheme, "Bearer") && d.token.is(shown) {
			return byToken
		}
		d.log.Warn().Str("peer", r.RemoteAddr).Msg("wrong admin token")
		return nobody
	}
	if cookie, err := r.Cookie(sessionCookie); err == nil && d.sessions.open(cookie.Value) {
		return byCookie
	}
	return nobody
}

// acceptsHost refuses names that somebody else's DNS may resolve to this port.
func (d *door) acceptsHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	named := func(name string) bool { return strings.EqualFold(host, name) }
	return err == nil || named("localhost") || slices.ContainsFunc(d.names, named)
}

// isSameOrigin reports whether a browser sends the request for a page of this
// port. One that says nothing is not believed.
func isSameOrigin(r *http.Request) bool {
	origin, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && (origin.Scheme == "http" || origin.Scheme == "https") && origin.Host != "" && origin.Host == r.Host
}

// login trades the token for a session cookie. It is a POST that anybody may
// send, so it must come from the page itself.
func (d *door) login(w http.ResponseWriter, r *http.Request) {
	if !isSameOrigin(r) {
		http.Error(w, "Origin must be this page's own", http.StatusForbidden)
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(5 * time.Second)) // net/http supports it
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if !d.token.is(r.PostFormValue("token")) {
		d.log.Warn().Str("peer", r.RemoteAddr).Msg("wrong admin token")
		w.Header().Set("Content-Type", contentTypes[".html"])
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write(refusedLogin()) // the client is gone
		return
	}
	setCookie(w, r, d.sessions.begin(), int(sessionLife/time.Second))
	redirect(w, r, "./")
}

func (d *door) logout(w http.ResponseWriter, r *http.Request) {
	setCookie(w, r, "", -1)
	redirect(w, r, "login")
}

// redirect sends a browser to a path of this port, counted from its root. It is
// told the way from where it is: what stands before the root, behind a proxy, only
// the browser knows.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Location", strings.Repeat("../", strings.Count(r.URL.Path, "/")-1)+to)
	w.WriteHeader(http.StatusSeeOther)
}

// setCookie sets or, with a negative age, deletes the session cookie. Behind a
// balancer that terminates TLS it is for https only. It has no Path: a browser
// then sends it to the folder of the login alone, so that below a proxy's prefix
// what stands beside it never sees a session.
func setCookie(w http.ResponseWriter, r *http.Request, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: value, MaxAge: age, HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: strings.HasPrefix(r.Header.Get("Origin"), "https://"),
	})
}
