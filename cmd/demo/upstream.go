package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/echo"
)

// upstream is one echo service.
type upstream struct {
	name    string
	url     string
	failing bool
	web     *web
	client  http.Client
}

func startUpstream(name, addr string, faults io.Writer) (*upstream, error) {
	w, err := serve(addr, echo.New(name), faults)
	if err != nil {
		return nil, fmt.Errorf("cannot start upstream %s: %w", name, err)
	}
	return &upstream{name: name, url: "http://" + addr, web: w, client: http.Client{Timeout: time.Second}}, nil
}

// fail makes every request fail with 503 until heal.
func (u *upstream) fail() error { return u.switchTo("/_fail?status=503", true) }

func (u *upstream) heal() error { return u.switchTo("/_heal", false) }

func (u *upstream) switchTo(path string, failing bool) error {
	resp, err := u.client.Post(u.url+path, "", nil)
	if err != nil {
		return fmt.Errorf("cannot reach upstream %s: %w", u.name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("cannot switch upstream %s: it answered %s", u.name, resp.Status)
	}
	u.failing = failing
	return nil
}

func (u *upstream) close() {
	u.client.CloseIdleConnections()
	u.web.close()
}
