package proxy

import (
	"errors"
	"strconv"
	"strings"
	"testing"
)

func TestRouterMatch(t *testing.T) {
	r, err := NewRouter([]Match{
		{"/api/*", []string{"POST"}},                 // 0
		{"/api/users/*", []string{"GET"}},            // 1
		{"/api/users/me", []string{"GET", "DELETE"}}, // 2
		{"/all", nil},                // 3
		{"/head", []string{"GET"}},   // 4
		{"/head", []string{"HEAD"}},  // 5
		{"/slash/", []string{"GET"}}, // 6
		{"/", []string{"GET"}},       // 7
	})
	if err != nil {
		t.Fatal(err)
	}
	f := func(method, path string, want int, allow string) {
		t.Helper()
		got, err := r.Match(method, path)
		var notAllowed *MethodError
		switch {
		case want >= 0:
			if got != want || err != nil {
				t.Errorf("%s %s: got %d, %v, want %d", method, path, got, err, want)
			}
		case allow == "":
			if !errors.Is(err, ErrNoRoute) {
				t.Errorf("%s %s: got %d, %v, want ErrNoRoute", method, path, got, err)
			}
		case !errors.As(err, &notAllowed) || strings.Join(notAllowed.Allow, " ") != allow:
			t.Errorf("%s %s: got %d, %v, want allow %s", method, path, got, err, allow)
		}
	}
	f("POST", "/api", 0, "")
	f("POST", "/api/", 0, "")
	f("POST", "/api/x/y", 0, "")
	f("GET", "/api/users", 1, "")
	f("GET", "/api/users/", 1, "")
	f("HEAD", "/api/users/1/2", 1, "")
	f("GET", "/api/usersX", -1, "POST")
	f("POST", "/api/users/1", 0, "")
	f("GET", "/api/users/me", 2, "")
	f("GET", "/api/users/me/x", 1, "")
	f("DELETE", "/api/users/me", 2, "")
	f("PUT", "/api/users/me", -1, "GET HEAD POST DELETE")
	f("CONNECT", "/all", 3, "")
	f("TRACE", "/all", 3, "")
	f("PURGE", "/all", -1, "GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT")
	f("GET", "/all/", -1, "")
	f("GET", "/head", 4, "")
	f("HEAD", "/head", 5, "")
	f("GET", "/slash/", 6, "")
	f("GET", "/slash", -1, "")
	f("GET", "/", 7, "")
	f("GET", "/nothing", -1, "")
	f("GET", "/apix", -1, "")
}

func TestRouterWildcardOfEverything(t *testing.T) {
	r, err := NewRouter([]Match{{"/*", nil}})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/a", "/a/b/"} {
		if got, err := r.Match("GET", path); got != 0 || err != nil {
			t.Errorf("%s: %d, %v", path, got, err)
		}
	}
}

func TestRouterErrors(t *testing.T) {
	f := func(want string, routes ...Match) {
		t.Helper()
		if _, err := NewRouter(routes); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	get := []string{"GET"}
	f(`routes[1].path: must be another than that of routes[0] for the same method (GET), got "/api/x/*"`, Match{"/api/x/*", get}, Match{"/api/x/*", []string{"POST", "GET"}})
	f(`routes[1].path: must be another than that of routes[0] for the same method (GET), got "/a"`, Match{"/a", nil}, Match{"/a", get})
	f(`routes[0].path: must be a canonical path`, Match{"api", get})
	f(`routes[0].path: must be a canonical path`, Match{"/a//b", get})
	f(`routes[0].path: must be a canonical path`, Match{"/a/*/b", get})
	f(`routes[0].path: must be a canonical path`, Match{"/a*", get})
	f(`routes[0].path: must be a canonical path`, Match{"", get})
	f(`routes[0].methods[1]: must be one of GET,`, Match{"/a", []string{"GET", "get"}})
}

func TestRouterMatchDoesNotAllocate(t *testing.T) {
	r, err := NewRouter([]Match{{"/api/users/*", []string{"GET"}}})
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(100, func() {
		if _, err := r.Match("GET", "/api/users/1"); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		routes := make([]Match, n)
		for i := range routes {
			routes[i] = Match{"/api/service" + strconv.Itoa(i) + "/v1/*", []string{"GET"}}
		}
		r, err := NewRouter(routes)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Match("GET", "/api/service7/v1/users/12"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
