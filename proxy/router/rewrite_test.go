package router

import (
	"strings"
	"testing"
)

func TestRewrite(t *testing.T) {
	f := func(pattern, template, path, want string) {
		t.Helper()
		r, err := NewRewrite(pattern, template)
		if err != nil {
			t.Errorf("%s to %s: %v", pattern, template, err)
			return
		}
		if got := r.Apply(path); got != want {
			t.Errorf("%s to %s: %s becomes %s, want %s", pattern, template, path, got, want)
		}
	}
	f("/users/*", "/v2/people/*", "/users", "/v2/people")
	f("/users/*", "/v2/people/*", "/users/", "/v2/people/")
	f("/users/*", "/v2/people/*", "/users/1/a", "/v2/people/1/a")
	f("/users/*", "/*", "/users/1", "/1")
	f("/users/*", "/*", "/users", "/")
	f("/*", "/v2/*", "/", "/v2/")
	f("/*", "/v2/*", "/a/b", "/v2/a/b")
	f("/users/:id/orders/:order", "/orders/:order/of/:id", "/users/7/orders/9", "/orders/9/of/7")
	f("/users/:id/*", "/:id/*", "/users/7", "/7")
	f("/users/:id/*", "/people/:id/*", "/users/7/a/", "/people/7/a/")
	f("/users/:id/*", "/fixed", "/users/7/a", "/fixed")
	f("/a/*/b/:c", "/:c", "/a/x/b/y", "/y")
	f("/users/:id", "/people/:id/", "/users/%20", "/people/%20/")
}

func TestRewriteErrors(t *testing.T) {
	f := func(pattern, template, want string) {
		t.Helper()
		if _, err := NewRewrite(pattern, template); err == nil || !strings.HasPrefix(err.Error(), "rewrite: "+want) {
			t.Errorf("%s to %s: got %v, want %q", pattern, template, err, want)
		}
	}
	f("/a", "/b/*", "must end in /* only if path does")
	f("/a/:id", "/b/:name", "must name parameters of path only, not :name")
	f("/a/*/b", "/b/*/c", "must have no * before its end")
	f("/a", "b", "must be a canonical path")
	f("/a", "/../b", "must be a canonical path")
	f("a", "/b", "must belong to a path that is one")
}

// Whatever path matched, the rewritten one is canonical again.
func FuzzRewrite(f *testing.F) {
	r, err := NewRewrite("/a/:x/*", "/b/:x/c/*")
	if err != nil {
		f.Fatal(err)
	}
	router := mustNew(f, []Match{{Path: "/a/:x/*"}})
	f.Add("/a/1")
	f.Add("/a/%3b/..x/")
	f.Fuzz(func(t *testing.T, raw string) {
		path, err := CanonicalPath([]byte(raw))
		if err != nil {
			return
		}
		if _, err := router.Match("GET", "", path); err != nil {
			return
		}
		out := r.Apply(path)
		if again, err := CanonicalPath([]byte(out)); err != nil || again != out || !strings.HasPrefix(out, "/b/") {
			t.Fatalf("%s became %s: %v", path, out, err)
		}
	})
}
