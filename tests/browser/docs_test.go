package browser

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// Who reads the documentation of a route can try it, against the gateway itself.
func TestSwaggerUICanBeTried(t *testing.T) {
	up := upstream(t, "up")
	g := gateway.Start(t, harness.Config{Routes: []string{`path: "/hello", upstream: "` + up.URL + `", methods: [GET]`}}.YAML())
	p := open(t, g.URL("/docs"))
	const operation = `//*[contains(@class, "opblock-get")][.//*[@data-path="/hello"]]`
	p.run("try the route",
		chromedp.Click(operation+`//*[contains(@class, "opblock-summary-control")]`),
		chromedp.Click(operation+`//button[contains(@class, "try-out__btn")]`),
		chromedp.Click(operation+`//button[contains(@class, "execute")]`),
	)
	p.sees("the answer", `document.querySelector(".live-responses-table .response .response-col_status")?.innerText.startsWith("200")`)
	p.sees("the upstream's words", has(".live-responses-table", `"path": "/hello"`))
	p.clean()
}
