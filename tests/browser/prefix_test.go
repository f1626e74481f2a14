package browser

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
)

// Below a prefix of a proxy, and with every request at another node, the page
// works as it does at the node's own port: one login is for all.
func TestPageBehindARoundRobin(t *testing.T) {
	c := startCluster(t)
	var turn atomic.Int64
	var met [3]atomic.Int64
	front := http.NewServeMux()
	front.Handle("/admin/", http.StripPrefix("/admin", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		i := turn.Add(1) % 3
		met[i].Add(1)
		r.SetURL(&url.URL{Scheme: "http", Host: c.nodes[i].Admin})
		r.Out.Host = r.In.Host
	}, ErrorLog: log.New(io.Discard, "", 0)})) // a page that is left cuts its stream off
	var leaked atomic.Bool
	front.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) {
		leaked.Store(leaked.Load() || len(r.Cookies()) > 0)
	})
	web := httptest.NewServer(front)
	t.Cleanup(web.Close)

	p := open(t, web.URL+"/admin/")
	p.logIn()
	p.sees("three members", `document.querySelectorAll("#members tr").length === 3`)
	for range 3 { // at each node
		mode := eval[string](p, `document.querySelector('#breakers [aria-pressed="false"]').dataset.mode`)
		p.run("override", chromedp.Click(`#breakers [data-mode="`+mode+`"]`))
		p.sees("the answer", `document.querySelector("#said").className === "said good"`)
		p.sees("the override", `document.querySelector('#breakers [data-mode="`+mode+`"]').ariaPressed === "true"`)
		p.run("look again", chromedp.Reload())
		p.sees("three members", `document.querySelectorAll("#members tr").length === 3`)
	}
	p.clean()
	for i := range met {
		if met[i].Load() < 3 {
			t.Errorf("node %d was met %d times: no round robin", i, met[i].Load())
		}
	}
	p.run("look beside the prefix", chromedp.Navigate(web.URL+"/elsewhere"))
	if leaked.Load() {
		t.Error("the session was sent to what is not the admin port")
	}
}
