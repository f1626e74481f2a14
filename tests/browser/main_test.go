package browser

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

var (
	gateway harness.Binary  // built once
	window  context.Context // the browser, started once

	shots = flag.String("shots", "", "where to leave pictures of the page; nowhere if empty")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	path, err := findBrowser()
	if err != nil {
		return fail(err)
	}
	dir, err := os.MkdirTemp("", "gateway-browser-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	if gateway, err = harness.Build(dir); err != nil {
		return fail(err)
	}
	// No sandbox: tests run as root in containers, and see pages of ours only.
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(dir+"/profile"))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), flags...)
	defer stop()
	quiet := func(string, ...any) {} // the protocol has events this library has not heard of
	var closeWindow context.CancelFunc
	window, closeWindow = chromedp.NewContext(allocator, chromedp.WithErrorf(quiet))
	defer closeWindow()
	if err := chromedp.Run(window); err != nil {
		return fail(fmt.Errorf("cannot start %s: %w", path, err))
	}
	return m.Run()
}

func findBrowser() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("cannot find chromium: apt-get install chromium, or leave these tests to tests/run.sh, which tells what it could not run")
}
