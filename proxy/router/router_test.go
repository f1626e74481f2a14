package router

import (
	"errors"
	"strconv"
	"strings"
	"testing"
)

func mustNew(t testing.TB, routes []Match) *Router {
	t.Helper()
	r, err := New(routes)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// check compares a match with the index of the route, or with -1 and the allowed
// methods, "" for no route.
func check(t *testing.T, r *Router, request string, want int, allow string) {
	t.Helper()
	method, target, _ := strings.Cut(request, " ")
	host, path, _ := strings.Cut(target, "/")
	got, err := r.Match(method, host, "/"+path)
	var notAllowed *MethodError
	switch {
	case want >= 0:
		if got != want || err != nil {
			t.Errorf("%s: got %d, %v, want %d", request, got, err, want)
		}
	case allow == "":
		if !errors.Is(err, ErrNoRoute) {
			t.Errorf("%s: got %d, %v, want ErrNoRoute", request, got, err)
		}
	case !errors.As(err, &notAllowed) || strings.Join(notAllowed.Allow, " ") != allow:
		t.Errorf("%s: got %d, %v, want allow %s", request, got, err, allow)
	}
}

func TestRouterMatch(t *testing.T) {
	get := []string{"GET"}
	r := mustNew(t, []Match{
		{Path: "/api/*", Methods: []string{"POST"}},                 // 0
		{Path: "/api/users/*", Methods: get},                        // 1
		{Path: "/api/users/me", Methods: []string{"GET", "DELETE"}}, // 2
		{Path: "/all"},                                           // 3
		{Path: "/head", Methods: get},                            // 4
		{Path: "/head", Methods: []string{"HEAD"}},               // 5
		{Path: "/slash/", Methods: get},                          // 6
		{Path: "/", Methods: get},                                // 7
		{Path: "/traced", Methods: []string{"TRACE", "CONNECT"}}, // 8
	})
	f := func(request string, want int, allow string) { t.Helper(); check(t, r, request, want, allow) }
	f("POST /api", 0, "")
	f("POST /api/", 0, "")
	f("POST /api/x/y", 0, "")
	f("GET /api/users", 1, "")
	f("GET /api/users/", 1, "")
	f("HEAD /api/users/1/2", 1, "")
	f("GET /api/usersX", -1, "POST")
	f("POST /api/users/1", 0, "")
	f("GET /api/users/me", 2, "")
	f("GET /api/users/me/x", 1, "")
	f("DELETE /api/users/me", 2, "")
	f("PUT /api/users/me", -1, "GET HEAD POST DELETE")
	f("OPTIONS /all", 3, "")
	f("CONNECT /all", -1, "GET HEAD POST PUT PATCH DELETE OPTIONS")
	f("TRACE /all", -1, "GET HEAD POST PUT PATCH DELETE OPTIONS")
	f("PURGE /all", -1, "GET HEAD POST PUT PATCH DELETE OPTIONS")
	f("TRACE /traced", 8, "")
	f("GET /traced", -1, "TRACE CONNECT")
	f("GET /all/", -1, "")
	f("GET /head", 4, "")
	f("HEAD /head", 5, "")
	f("GET /slash/", 6, "")
	f("GET /slash", -1, "")
	f("GET /", 7, "")
	f("GET /nothing", -1, "")
	f("GET /apix", -1, "")
}

func TestRouterParameters(t *testing.T) {
	r := mustNew(t, []Match{
		{Path: "/users/:id"},                                        // 0
		{Path: "/users/me"},                                         // 1
		{Path: "/users/:id/orders/*"},                               // 2
		{Path: "/users/me/cart"},                                    // 3
		{Path: "/users/*", Methods: []string{"GET"}},                // 4
		{Path: "/a/*/b"},                                            // 5
		{Path: "/a/x/c"},                                            // 6
		{Path: "/:one/:two/:three/end"},                             // 7
		{Path: "/a/:p", Methods: []string{"GET"}},                   // 8
		{Path: "/a/lit", Methods: []string{"POST"}},                 // 9
		{Path: "/slash/:id/"},                                       // 10
		{Path: "/users/:other", Methods: nil, Hosts: []string{"h"}}, // 11: the same shape elsewhere is no tie
	})
	f := func(request string, want int, allow string) { t.Helper(); check(t, r, request, want, allow) }
	f("GET /users/7", 0, "")
	f("GET /users/me", 1, "")
	f("POST /users/me", 1, "")
	f("GET /users/", 4, "") // a parameter is never empty
	f("POST /users/", -1, "GET HEAD")
	f("GET /users", 4, "")
	f("GET /users/7/", 4, "")
	f("GET /users/7/orders", 2, "")
	f("GET /users/7/orders/1/2", 2, "")
	f("GET /users/me/orders/1", 2, "") // back from the literal to the parameter
	f("GET /users/me/cart", 3, "")
	f("GET /users/me/cars", 4, "")
	f("GET /a/1/b", 5, "")
	f("GET /a/x/b", 5, "") // back again
	f("GET /a/x/c", 6, "")
	f("GET /a//b", -1, "")
	f("GET /a/1/2/end", 7, "")
	f("GET /a/1/2/ends", -1, "")
	f("GET /a/lit", 8, "") // the literal does not take GET
	f("POST /a/lit", 9, "")
	f("PUT /a/lit", -1, "GET HEAD POST")
	f("GET /slash/1/", 10, "")
	f("GET /slash/1", -1, "")
	f("GET h/users/7", 11, "")
}

func TestRouterHosts(t *testing.T) {
	r := mustNew(t, []Match{
		{Path: "/x", Hosts: []string{"api.example.com", "API2.example.com"}}, // 0
		{Path: "/x", Hosts: []string{"*.example.com"}},                       // 1
		{Path: "/x", Hosts: []string{"*.deep.example.com"}},                  // 2
		{Path: "/x"},                           // 3
		{Path: "/y", Methods: []string{"GET"}}, // 4
		{Path: "/y", Methods: []string{"PUT"}, Hosts: []string{"api.example.com"}}, // 5
		{Path: "/v6", Hosts: []string{"[2001:db8::1]"}},                            // 6
	})
	f := func(request string, want int, allow string) { t.Helper(); check(t, r, request, want, allow) }
	f("GET api.example.com/x", 0, "")
	f("GET API.Example.COM:8443/x", 0, "")
	f("GET api2.example.com./x", 0, "")
	f("GET other.example.com/x", 1, "")
	f("GET a.b.example.com/x", 1, "")
	f("GET a.deep.example.com/x", 2, "")
	f("GET deep.example.com/x", 1, "")
	f("GET example.com/x", 3, "")
	f("GET notexample.com/x", 3, "")
	f("GET /x", 3, "")
	f("GET "+strings.Repeat("a", 400)+".example.com/x", 3, "")
	f("GET api.example.com/y", 4, "") // what the host lacks any host may have
	f("PUT api.example.com/y", 5, "")
	f("PUT other.example.com/y", -1, "GET HEAD")
	f("POST api.example.com/y", -1, "GET HEAD PUT")
	f("GET [2001:DB8::1]:80/v6", 6, "")
	f("GET [2001:db8::2]/v6", -1, "")
	f("GET [2001:db8::1/v6", -1, "")
}

func TestRouterWildcardOfEverything(t *testing.T) {
	r := mustNew(t, []Match{{Path: "/*"}})
	for _, path := range []string{"/", "/a", "/a/b/"} {
		if got, err := r.Match("GET", "any.host", path); got != 0 || err != nil {
			t.Errorf("%s: %d, %v", path, got, err)
		}
	}
}

func TestRouterErrors(t *testing.T) {
	f := func(want string, routes ...Match) {
		t.Helper()
		if _, err := New(routes); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	get := []string{"GET"}
	path := func(p string) Match { return Match{Path: p, Methods: get} }
	f(`routes[1].path: must be another than that of routes[0] for the same method (GET), got "/api/x/*"`, path("/api/x/*"), Match{Path: "/api/x/*", Methods: []string{"POST", "GET"}})
	f(`routes[1].path: must be another than that of routes[0] for the same method (GET), got "/a"`, Match{Path: "/a"}, path("/a"))
	f(`routes[1].path: must be another than that of routes[0] for the same method (GET), got "/u/:name"`, path("/u/:id"), path("/u/:name"))
	f(`routes[1].path: must be another than that of routes[0] for the same method (GET), got "/u/*/x"`, path("/u/:id/x"), path("/u/*/x"))
	f(`routes[1].path: must be another than that of routes[0] for the same method (GET) and host (A.b), got "/a"`,
		Match{Path: "/a", Hosts: []string{"x", "a.B"}}, Match{Path: "/a", Methods: get, Hosts: []string{"A.b"}})
	f(`routes[0].path: must be a canonical path`, path("api"))
	f(`routes[0].path: must be a canonical path`, path("/a//b"))
	f(`routes[0].path: must be a canonical path`, path("/a//*"))
	f(`routes[0].path: must be a canonical path`, path("/a*"))
	f(`routes[0].path: must be a canonical path`, path("/a*/b"))
	f(`routes[0].path: must be a canonical path`, path("/../:id"))
	f(`routes[0].path: must be a canonical path`, path(""))
	f(`routes[0].path: must name each parameter once`, path("/a/:"))
	f(`routes[0].path: must name each parameter once`, path("/a/:b-c"))
	f(`routes[0].path: must name each parameter once`, path("/:id/:id"))
	f(`routes[0].methods[1]: must be one of GET,`, Match{Path: "/a", Methods: []string{"GET", "get"}})
	f(`routes[0].hosts[0]: must be a name`, Match{Path: "/a", Hosts: []string{"a:80"}})
	f(`routes[0].hosts[0]: must be a name`, Match{Path: "/a", Hosts: []string{"a.*.b"}})
	f(`routes[0].hosts[0]: must be a name`, Match{Path: "/a", Hosts: []string{"*"}})
	f(`routes[0].hosts[0]: must be a name`, Match{Path: "/a", Hosts: []string{"a..b"}})
	f(`routes[0].hosts[0]: must be a name`, Match{Path: "/a", Hosts: []string{"http://a"}})
	f(`routes[0].hosts[1]: must appear once, got "A" again`, Match{Path: "/a", Hosts: []string{"a", "A"}})
}

func TestTemplate(t *testing.T) {
	f := func(pattern, want string, below bool) {
		t.Helper()
		got, err := ParseTemplate(pattern)
		if err != nil || got.Path != want || got.Below != below || strings.Count(want, "{") != len(got.Parameters) {
			t.Errorf("%s: got %+v, %v, want %s", pattern, got, err, want)
		}
	}
	f("/", "/", false)
	f("/*", "/", true)
	f("/a/*", "/a", true)
	f("/a/:id/b", "/a/{id}/b", false)
	f("/*/:part2/*/*", "/{part1}/{part2}/{part3}", true)
}

func TestRouterMatchDoesNotAllocate(t *testing.T) {
	r := mustNew(t, []Match{{Path: "/api/users/:id/*", Methods: []string{"GET"}, Hosts: []string{"*.example.com"}}})
	n := testing.AllocsPerRun(100, func() {
		if _, err := r.Match("GET", "API.example.com:8080", "/api/users/1"); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever a client sends, the router finds what a plain look at every route finds.
func FuzzRouter(f *testing.F) {
	patterns := []string{"/*", "/a", "/a/*", "/a/:x", "/a/b", "/a/:x/b", "/a/b/*", "/:x/b", "/a/*/c/*", "/b/"}
	var routes []Match
	for _, p := range patterns {
		routes = append(routes, Match{Path: p, Methods: []string{"GET"}}, Match{Path: p, Methods: []string{"GET"}, Hosts: []string{"*.h"}})
	}
	r := mustNew(f, routes)
	for _, seed := range []string{"/", "/a/b", "/a/b/c", "/a/x/b", "/x/b", "/a/", "/b/"} {
		f.Add("H:1", seed)
		f.Add("y.h", seed)
	}
	f.Fuzz(func(t *testing.T, host, raw string) {
		path, err := CanonicalPath([]byte(raw))
		if err != nil {
			return
		}
		got, err := r.Match("GET", host, path)
		if err != nil {
			t.Fatalf("%s: %v, though /* is a route", path, err)
		}
		p, err := parsePattern(routes[got].Path)
		if err != nil || !p.matches(path) {
			t.Fatalf("%s went to %s", path, routes[got].Path)
		}
		for _, other := range patterns {
			q, _ := parsePattern(other)
			if q.matches(path) && q.before(p) {
				t.Fatalf("%s went to %s, but %s is more specific", path, routes[got].Path, other)
			}
		}
	})
}

// matches is the definition of a pattern, one segment after the other.
func (p pattern) matches(path string) bool {
	words := strings.Split(path[1:], "/")
	if len(words) < len(p.segments) || len(words) > len(p.segments) && !p.below {
		return false
	}
	for i, s := range p.segments {
		if s.wild && words[i] == "" || !s.wild && words[i] != s.text {
			return false
		}
	}
	return true
}

// before is the definition of more specific, for patterns that match one path.
func (p pattern) before(q pattern) bool {
	for i := range min(len(p.segments), len(q.segments)) {
		if p.segments[i].wild != q.segments[i].wild {
			return q.segments[i].wild
		}
	}
	if len(p.segments) != len(q.segments) {
		return len(p.segments) > len(q.segments)
	}
	return !p.below && q.below
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		routes := make([]Match, n)
		for i := range routes {
			routes[i] = Match{Path: "/api/service" + strconv.Itoa(i) + "/v1/:id/*", Methods: []string{"GET"}}
		}
		r := mustNew(b, routes)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Match("GET", "api.example.com", "/api/service7/v1/users/12"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
