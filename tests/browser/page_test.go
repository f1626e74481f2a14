package browser

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// TestClusterPage is one night: who looks at the page sees each fault, does
// something about one of them, and knows when the page itself is blind.
func TestClusterPage(t *testing.T) {
	c := startCluster(t)
	p := open(t, page(c.nodes[0]))
	p.logIn()
	p.sees("three members", `document.querySelectorAll("#members tr").length === 3`)
	p.sees("that it is live", has("#link", "live"))
	p.sees("that Redis decides", has("#summary", "Redis"))

	c.trip(p)
	c.overrideByKeyboard(p)
	c.loseRedis(p)
	c.drift(p)
	c.kill(p)
	p.clean()
	c.disconnect(p)
}

// logIn types the token into the form and sends it, as one does by keyboard.
func (p *tab) logIn() {
	p.t.Helper()
	p.sees("the login", `document.activeElement?.id === "token"`)
	p.press("not-the-token-of-anybody" + kb.Enter)
	p.sees("that the token is wrong", has("main", "not the admin token")+` && document.activeElement?.id === "token"`)
	p.mu.Lock()
	p.problems = nil // the browser logs the 401
	p.mu.Unlock()
	p.press(token + kb.Enter)
	p.sees("the page", `document.querySelector("#members")`)
}

// trip lets a backend die under load; the page shows what the node knows.
func (c *cluster) trip(p *tab) {
	c.t.Helper()
	c.fail(c.users)
	c.until("an open breaker", func() bool {
		harness.Ask(c.t, "GET", c.nodes[0].URL("/users/1"), "")
		return c.breaker(0, backend(c.users)).State == "open"
	})
	took := p.sees("an open breaker", has(c.row(), "open")+" && "+has("#events", "breaker opened"))
	c.logTook("an open breaker", took)
}

// row selects the row of the backend that fails.
func (c *cluster) row() string { return fmt.Sprintf(`[data-backend="%s"]`, backend(c.users)) }

// overrideByKeyboard reaches the button by Tab alone and closes the breaker by
// force. It needs the token; the cluster does as it is told.
func (c *cluster) overrideByKeyboard(p *tab) {
	c.t.Helper()
	if status := c.post(); status != 401 {
		c.t.Errorf("an override without the token is answered with %d, want 401", status)
	}
	if status := c.post("Authorization", "Bearer wrong"); status != 401 {
		c.t.Errorf("an override with a wrong token is answered with %d, want 401", status)
	}
	button := c.row() + ` [data-mode="closed"]`
	focused := fmt.Sprintf("document.activeElement === document.querySelector(%q)", button)
	p.run("leave what has the focus", chromedp.Evaluate("document.activeElement.blur()", nil))
	for tabs := 0; !eval[bool](p, focused); tabs++ {
		if tabs > 40 {
			c.t.Fatal("40 tabs do not lead to the override")
		}
		p.press(kb.Tab)
	}
	p.sees("where the focus is", `getComputedStyle(document.activeElement).outlineStyle !== "none"`)
	time.Sleep(1500 * time.Millisecond) // a state or two come in the meantime
	p.sees("the focus where it was", focused)
	p.press(kb.Enter)
	p.sees("the answer", has("#said", "is forced closed"))
	c.until("an override", func() bool {
		b := c.breaker(2, backend(c.users))
		return b.Override != nil && b.Override.State == "closed"
	})
	p.sees("the override", fmt.Sprintf(`document.querySelector(%q).ariaPressed === "true"`, button))
	p.press(kb.Tab + " ") // the next button is Auto
	p.sees("the override's end", has("#said", "decides by itself"))
	p.sees("auto", fmt.Sprintf(`document.querySelector(%q).ariaPressed === "true"`, c.row()+` [data-mode="auto"]`))
	c.heal(c.users)
}

// loseRedis takes Redis away from all nodes, and gives it back.
func (c *cluster) loseRedis(p *tab) {
	c.t.Helper()
	inMode := func(mode string) func() bool {
		return func() bool {
			return !slices.ContainsFunc(c.nodes[0].Cluster().Members, func(m harness.Member) bool { return m.Mode != mode })
		}
	}
	addr := c.redis.Addr()
	c.redis.Close()
	c.until("three nodes without Redis", inMode("local"))
	took := p.sees("who is without Redis", has("#summary", "own share on 3")+" && "+has("#redis", "3 of 3")+" && "+has("#events", "lost Redis"))
	c.logTook("the loss of Redis", took)
	if err := c.redis.StartAddr(addr); err != nil {
		c.t.Fatalf("cannot start Redis again: %v", err)
	}
	c.until("three nodes with Redis", inMode("redis"))
	p.sees("that all have it back", has("#redis", "All members reach Redis")+" && "+has("#events", "has Redis back"))
}

// drift gives one node another configuration.
func (c *cluster) drift(p *tab) {
	c.t.Helper()
	name := c.nodes[1].Cluster().Self
	c.nodes[1].Replace(c.drifted())
	c.until("a drift", func() bool {
		hashes := map[string]bool{}
		for _, m := range c.nodes[0].Cluster().Members {
			hashes[m.Config.Hash] = true
		}
		return len(hashes) == 2
	})
	took := p.sees("the drift", has(fmt.Sprintf(`[data-name="%s"]`, name), "drift")+" && "+has("#summary", "2, drift"))
	c.logTook("a drift", took)
}

// kill takes a node away without a word.
func (c *cluster) kill(p *tab) {
	c.t.Helper()
	name := c.nodes[2].Cluster().Self
	c.nodes[2].Signal(syscall.SIGKILL)
	took := p.sees("that it is silent", has(fmt.Sprintf(`[data-name="%s"]`, name), "silent")+" && "+has("#summary", "1 silent"))
	c.t.Logf("a killed member is silent on the page after %d ms", took.Milliseconds())
	c.until("a dead member", func() bool { return len(c.nodes[0].Cluster().Members) == 2 })
	took = p.sees("that it is gone", fmt.Sprintf(`!document.querySelector('[data-name="%s"]')`, name)+" && "+has("#events", name+" is gone"))
	c.logTook("a dead member", took)
}

// logTook tells what was measured; 2 s are promised, a busy machine gets more.
func (c *cluster) logTook(what string, took time.Duration) {
	c.t.Helper()
	c.t.Logf("%s is on the page %d ms after the node tells it", what, took.Milliseconds())
	if took > 2*time.Second {
		c.t.Logf("that is more than 2 s")
	}
}

// disconnect stops the node itself. The page says that it is blind, and recovers
// without a click.
func (c *cluster) disconnect(p *tab) {
	c.t.Helper()
	c.nodes[0].Signal(syscall.SIGSTOP)
	took := p.sees("that it is disconnected", has("#link", "disconnected")+` && document.title.includes("disconnected")`)
	c.t.Logf("a silent node is noticed after %d ms", took.Milliseconds())
	c.nodes[0].Signal(syscall.SIGCONT)
	took = p.sees("that it is live again", has("#link", "live")+` && !document.title.includes("disconnected")`)
	c.t.Logf("the page is back %d ms after the node", took.Milliseconds())
}

// Without a token the page only shows: buttons are there, do nothing, and the page
// says why. It also says what must change before production.
func TestReadOnlyPage(t *testing.T) {
	up := upstream(t, "up")
	g := gateway.Start(t, harness.Config{
		Secret: "change-me-in-production", Routes: []string{`path: "/a", upstream: "` + up.URL + `"`},
	}.YAML())
	harness.Ask(t, "GET", g.URL("/a"), "")
	p := open(t, page(g))
	p.sees("a breaker", `document.querySelector("#breakers button")`)
	p.sees("that nothing can be pressed", `[...document.querySelectorAll("#breakers button")].every((b) => b.disabled)`)
	p.sees("why", has("#read-only", "admin.token"))
	p.sees("the warning", has("#warnings", "jwt.secret is the shipped one"))
	p.sees("no way out of what is no session", `document.querySelector("#logout").hidden`)
	status := harness.Ask(t, "POST", page(g)+"cluster/breakers", `{"backend": "`+backend(up)+`", "state": "auto"}`).Status
	if status != 403 {
		t.Errorf("an override without admin.token is answered with %d, want 403", status)
	}
	p.clean()
}

// The page can be read on a phone and in the dark, and never scrolls sideways.
func TestPageFitsEveryWindow(t *testing.T) {
	c := startCluster(t)
	stop := c.load()
	defer stop()
	c.nodes[1].Replace(c.drifted())
	c.fail(c.users)
	p := open(t, page(c.nodes[0]))
	p.logIn()
	p.sees("an open breaker", has(c.row(), "open"))
	p.sees("the drift", has("#summary", "2, drift"))
	p.sees("a limit at its end", `document.querySelector('[data-route="/catalog/*"] .bar.bad')`)
	if *shots != "" {
		time.Sleep(40 * time.Second) // the lines of a minute
	}
	f := func(name, scheme string, width, height int64) {
		p.colors(scheme, width, height)
		p.sees("all of its width", fmt.Sprintf("document.documentElement.scrollWidth <= %d", width))
		if *shots == "" {
			return
		}
		var picture []byte
		p.run("take a picture", chromedp.FullScreenshot(&picture, 100))
		if err := os.WriteFile(*shots+"/"+name+".png", picture, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f("light", "light", 1280, 800)
	f("dark", "dark", 1280, 800)
	f("wide", "light", 1920, 1000)
	f("tablet", "light", 800, 1000)
	f("phone", "light", 360, 740)
	f("phone-dark", "dark", 360, 740)
	p.clean()
}
