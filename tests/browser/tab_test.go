package browser

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// patience bounds what a page may take to show; how long it took is logged.
const patience = 20 * time.Second

// tab is one page in a window of its own: no cookies of others.
type tab struct {
	t      *testing.T
	ctx    context.Context
	origin string // the only one that may be asked

	mu       sync.Mutex // guards problems
	problems []string
}

// open shows the page at an address; problems are those of a page that may ask
// its own origin only.
func open(t *testing.T, address string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(window, chromedp.WithTargetID(newWindow(t)))
	t.Cleanup(cancel)
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(stop)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	p := &tab{t: t, ctx: ctx, origin: u.Scheme + "://" + u.Host}
	chromedp.ListenTarget(ctx, p.observe)
	p.run("open "+address, network.Enable(), log.Enable(), runtime.Enable(), chromedp.EmulateViewport(1280, 900), chromedp.Navigate(address))
	return p
}

// newWindow makes an empty window that shares nothing with the others. The browser
// wants to be asked for a window by name there, which the library does not do.
func newWindow(t *testing.T) target.ID {
	t.Helper()
	browser := cdp.WithExecutor(window, chromedp.FromContext(window).Browser)
	profile, err := target.CreateBrowserContext().WithDisposeOnDetach(true).Do(browser)
	if err != nil {
		t.Fatalf("cannot make a profile: %v", err)
	}
	id, err := target.CreateTarget("about:blank").WithBrowserContextID(profile).WithNewWindow(true).Do(browser)
	if err != nil {
		t.Fatalf("cannot open a window: %v", err)
	}
	return id
}

// observe notes what no page of ours may do.
func (p *tab) observe(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.note("exception: %s", e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			for _, arg := range e.Args {
				p.note("console %s: %s%s", e.Type, arg.Value, arg.Description)
			}
		}
	case *log.EventEntryAdded: // breaches of the policy and failed requests among them
		if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
			p.note("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, p.origin+"/") && !strings.HasPrefix(e.Request.URL, "data:") {
			p.note("a request to %s", e.Request.URL)
		}
	}
}

func (p *tab) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

// clean fails the test if there were problems, and forgets them.
func (p *tab) clean() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		p.t.Errorf("the page: %s", problem)
	}
	p.problems = nil
}

func (p *tab) run(what string, actions ...chromedp.Action) {
	p.t.Helper()
	if err := chromedp.Run(p.ctx, actions...); err != nil {
		p.t.Fatalf("cannot %s: %v", what, err)
	}
}

// eval returns what an expression gives in the page.
func eval[T any](p *tab, expression string) (v T) {
	p.t.Helper()
	p.run("evaluate "+expression, chromedp.Evaluate(expression, &v))
	return v
}

// sees waits until an expression is true in the page and returns how long that
// took.
func (p *tab) sees(what, expression string) time.Duration {
	p.t.Helper()
	start := time.Now()
	for !eval[bool](p, "Boolean("+expression+")") {
		if time.Since(start) > patience {
			p.t.Fatalf("the page does not show %s within %s; it says:\n%s", what, patience, eval[string](p, "document.body.innerText"))
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(start)
}

// text is an expression for the text of an element.
func text(selector string) string {
	return fmt.Sprintf("(document.querySelector(%q)?.innerText ?? '')", selector)
}

func has(selector, part string) string { return fmt.Sprintf("%s.includes(%q)", text(selector), part) }

// press sends keys to what has the focus.
func (p *tab) press(keys string) {
	p.t.Helper()
	p.run("press keys", chromedp.KeyEvent(keys))
}

// colors sets which of the two schemes the page is drawn in, width and height its
// window.
func (p *tab) colors(scheme string, width, height int64) {
	p.t.Helper()
	p.run("change the window",
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
		chromedp.EmulateViewport(width, height))
}
