package admin

import (
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"
)

// What the policy forbids, and what would not work below a proxy's prefix, is not
// in the pages; all they load is there, for everybody.
func TestPages(t *testing.T) {
	reference := regexp.MustCompile(`(?:href|src|action)="([^"]*)"`)
	imported := regexp.MustCompile(`from "\./([^"]*)"`)
	d := newTestDoor(secret)
	there := func(from, file string) {
		t.Helper()
		if resp := d.send("GET", pagePath+file, ""); resp.StatusCode != 200 || resp.Header.Get("Content-Type") != contentTypes[path.Ext(file)] {
			t.Errorf("%s loads %s, which answers %d %q", from, file, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
	}
	files, err := fs.Glob(pageFiles, "page/*")
	if err != nil || len(files) < 8 {
		t.Fatalf("only %v: %v", files, err)
	}
	for _, name := range files {
		text := string(readPage(path.Base(name)))
		for _, m := range imported.FindAllStringSubmatch(text, -1) {
			there(name, m[1])
		}
		if path.Ext(name) != ".html" {
			continue
		}
		for _, forbidden := range []string{"<style", "style=", "<script>", "javascript:", " onclick", " onload"} {
			if strings.Contains(text, forbidden) {
				t.Errorf("%s holds %s", name, forbidden)
			}
		}
		for _, m := range reference.FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(m[1], "/") || strings.Contains(m[1], ":") {
				t.Errorf("%s refers to %q, which is not relative", name, m[1])
			}
			if file, ok := strings.CutPrefix(m[1], "page/"); ok {
				there(name, file)
			}
		}
	}
	for _, hidden := range []string{"page.html", "login.html", "nothing.js", "..%2Fdoor.go", ""} {
		if resp := d.send("GET", pagePath+hidden, ""); resp.StatusCode == 200 && resp.Header.Get("Content-Type") == contentTypes[".html"] {
			t.Errorf("%s%s is a file of the page: %d", pagePath, hidden, resp.StatusCode)
		}
	}
}

func TestPageNeedsTheToken(t *testing.T) {
	f := func(s *Server, want int, contains string) {
		t.Helper()
		resp, body := get(t, s, "/", "")
		if resp.StatusCode != want || !strings.Contains(body, contains) {
			t.Errorf("%d %.80q, want %d with %q", resp.StatusCode, body, want, contains)
		}
	}
	f(start(t, ""), 200, "<h1>Gateway cluster</h1>")
	f(start(t, secret), 401, "admin token required")
	if resp, _ := get(t, start(t, secret), "/events", ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("events without a token: %d", resp.StatusCode)
	}
}
