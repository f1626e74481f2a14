package soak

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/echo"
)

const (
	stopLimit = 3 * time.Second // for requests under way when it stops
	downFor   = time.Second
)

// upstream is an echo server that can be restarted on its address.
type upstream struct {
	addr    string
	server  *http.Server
	serving sync.WaitGroup
}

// newUpstream serves until the test ends.
func newUpstream(tb testing.TB, addr string) *upstream {
	tb.Helper()
	u := &upstream{addr: addr}
	if err := u.start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = u.server.Close() // what is under way is nobody's any more
		u.serving.Wait()
	})
	return u
}

func (u *upstream) start() error {
	ln, err := net.Listen("tcp", u.addr)
	if err != nil {
		return err
	}
	u.server = &http.Server{Handler: echo.New(u.addr), ReadHeaderTimeout: time.Minute}
	u.serving.Go(func() { _ = u.server.Serve(ln) }) // ends with the server
	return nil
}

// restart stops it as a deployment does and starts it a second later.
func (u *upstream) restart(ctx context.Context) error {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	err := u.server.Shutdown(closing)
	u.serving.Wait()
	select {
	case <-ctx.Done():
	case <-time.After(downFor):
	}
	return errors.Join(err, u.start())
}
