// Package browser looks at the pages with a real browser, Chromium without a
// window, and at the cluster behind them as it runs: real binaries, a real fault,
// the page's own buttons. What a page must never do is checked all along: an error
// in the console, a breach of its Content-Security-Policy, a request to anybody
// else.
package browser
