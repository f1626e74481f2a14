package integration

import (
	"fmt"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/go-api-gateway-pro/gateway/tests/echo"
	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

var gateway harness.Binary // built once

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gateway-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if gateway, err = harness.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// upstream is an echo service that counts.
type upstream struct {
	*echo.Server
	URL string
}

func newUpstream(t *testing.T) upstream {
	t.Helper()
	s := echo.New("upstream")
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	return upstream{s, web.URL}
}
