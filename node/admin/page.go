package admin

import (
	"bytes"
	"embed"
	"net/http"
	"path"
)

// pagePath is where the page's files stand.
const pagePath = "/page/"

//go:embed page
var pageFiles embed.FS

//nolint:gochecknoglobals // a table
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// readPage returns a file that is known to be there.
func readPage(name string) []byte {
	body, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		panic("BUG: embedded file is missing: " + err.Error())
	}
	return body
}

// refusedLogin is the login page once more, with the reason.
func refusedLogin() []byte {
	const reason = `<p class="wrong" role="alert">✕ That is not the admin token.</p>`
	return bytes.Replace(readPage("login.html"), []byte("<!-- refused -->"), []byte(reason), 1)
}

// page answers with one of the pages.
func page(name string) http.HandlerFunc {
	body := readPage(name)
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentTypes[".html"])
		_, _ = w.Write(body) // the client is gone
	}
}

// pageFile answers GET /page/{file} with what the pages load.
func pageFile(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	body, err := pageFiles.ReadFile("page/" + name)
	kind := contentTypes[path.Ext(name)]
	if err != nil || kind == "" || path.Ext(name) == ".html" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(body) // the client is gone
}
