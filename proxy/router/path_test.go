package router

import (
	"errors"
	"strings"
	"testing"
)

func TestCanonicalPath(t *testing.T) {
	f := func(raw, want string) {
		t.Helper()
		got, err := CanonicalPath([]byte(raw))
		if err != nil || got != want {
			t.Errorf("CanonicalPath(%q) = %q, %v, want %q", raw, got, err, want)
		}
	}
	f("/", "/")
	f("/api/users/", "/api/users/")
	f("/%61dmin/%7Ex", "/admin/~x")
	f("/a%3bb%2c%25", "/a%3Bb%2C%25")
	f("/caf\xc3\xa9/{id}", "/caf%C3%A9/%7Bid%7D")
	f("/a;v=1/..x/x../...", "/a;v=1/..x/x../...")
	f("/x:y@z/*", "/x:y@z/*")
}

func TestCanonicalPathRefuses(t *testing.T) {
	f := func(raw string) {
		t.Helper()
		if got, err := CanonicalPath([]byte(raw)); !errors.Is(err, ErrBadPath) {
			t.Errorf("CanonicalPath(%q) = %q, %v, want ErrBadPath", raw, got, err)
		}
	}
	f("")
	f("*")
	f("admin")
	f("//admin/x")
	f("/admin//x")
	f("/x/../admin/x")
	f("/x/..")
	f("/./admin")
	f("/x/.")
	f("/x/%2e%2e/admin")
	f("/x/.%2E/admin")
	f("/x/..;/admin")
	f("/x/..%3B/admin")
	f("/x/.;a=1/admin")
	f("/admin%2fx")
	f("/admin%5Cx")
	f("/admin\\x")
	f("/admin%00")
	f("/admin\x00")
	f("/a\nb")
	f("/a%0Ab")
	f("/a b")
	f("/a%7f")
	f("/a%")
	f("/a%4")
	f("/a%zz")
	f("/a?b")
	f("/a#b")
}

func FuzzCanonicalPath(f *testing.F) {
	for _, seed := range []string{"/", "/a/b", "/%2e%2e/x", "/a%41%2F", "//", "/..;/x", "/\xff{", "/%25%32%65"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		once, err := CanonicalPath(raw)
		if err != nil {
			if !errors.Is(err, ErrBadPath) || once != "" {
				t.Fatalf("%q: %q, %v", raw, once, err)
			}
			return
		}
		twice, err := CanonicalPath([]byte(once))
		if err != nil || twice != once {
			t.Fatalf("not idempotent: %q, then %q, %v", once, twice, err)
		}
		for _, bad := range []string{"//", "/../", "/./", "\\", "%2F", "%5C", "%00", "\n", " ", "?", "#"} {
			if strings.Contains(strings.TrimSuffix(once, "/")+"/", bad) {
				t.Fatalf("%q contains %q", once, bad)
			}
		}
	})
}

func BenchmarkCanonicalPath(b *testing.B) {
	raw := []byte("/api/users/12345/orders/67890")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := CanonicalPath(raw); err != nil {
			b.Fatal(err)
		}
	}
}
