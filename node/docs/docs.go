// Package docs is the Swagger UI page, embedded: no outside asset, no inline
// script.
package docs

import (
	_ "embed"

	"github.com/swaggest/swgui/v5/static"
)

// Policy is the page's Content-Security-Policy. Swagger UI draws with inline
// styles and data images; scripts come from here alone.
const Policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed index.html
var index []byte

//go:embed init.js
var initScript []byte

// Asset is one file of the page.
type Asset struct {
	Path, ContentType, Encoding string
	Body                        []byte
}

// Assets returns everything the page loads. The library ships its files gzipped;
// they are passed on so, as every browser takes gzip.
func Assets() []Asset {
	const (
		html = "text/html; charset=utf-8"
		js   = "text/javascript; charset=utf-8"
		css  = "text/css; charset=utf-8"
	)
	return []Asset{
		{Path: "/docs", ContentType: html, Body: index},
		{Path: "/docs/init.js", ContentType: js, Body: initScript},
		{Path: "/docs/swagger-ui-bundle.js", ContentType: js, Encoding: "gzip", Body: file("swagger-ui-bundle.js.gz")},
		{Path: "/docs/swagger-ui.css", ContentType: css, Encoding: "gzip", Body: file("swagger-ui.css.gz")},
		{Path: "/docs/favicon-32x32.png", ContentType: "image/png", Body: file("favicon-32x32.png")},
	}
}

func file(name string) []byte {
	body, err := static.FS.ReadFile(name)
	if err != nil {
		panic("BUG: embedded asset is missing: " + err.Error())
	}
	return body
}
