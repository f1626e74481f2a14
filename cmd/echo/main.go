// Command echo is the test upstream of the gateway as a program: it answers
// with what it received and plays failures on request. What it can play is
// described by package tests/echo. It serves plain HTTP/1.1 until SIGTERM or
// SIGINT, and then finishes what it has begun, for ten seconds at most. With
// -healthcheck it asks the server at its own address instead and exits 0 or 1,
// for containers without a shell.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/echo"
)

const (
	drainTimeout  = 10 * time.Second
	headerTimeout = 10 * time.Second
	healthTimeout = 2 * time.Second
)

type options struct {
	addr, name  string
	healthcheck bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "echo:", err)
			os.Exit(1)
		}
	}
}

func run(ctx context.Context, args []string, log io.Writer) error {
	o, err := parse(args, log)
	if err != nil {
		return err
	}
	if o.healthcheck {
		return check(ctx, o.addr)
	}
	ln, err := net.Listen("tcp", o.addr)
	if err != nil {
		return fmt.Errorf("cannot listen on %s (set -addr or ECHO_ADDR): %w", o.addr, err)
	}
	fmt.Fprintf(log, "echo: %s answers on http://%s\n", o.name, ln.Addr())
	return serve(ctx, ln, o.name)
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("echo", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.addr, "addr", cmp.Or(os.Getenv("ECHO_ADDR"), "127.0.0.1:9001"), "`host:port` to listen on (ECHO_ADDR)")
	flags.StringVar(&o.name, "name", cmp.Or(os.Getenv("ECHO_NAME"), "echo"), "name to answer with (ECHO_NAME)")
	flags.BoolVar(&o.healthcheck, "healthcheck", false, "ask the server at -addr whether it is healthy and exit 0 or 1")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("cannot use argument %q: only flags are allowed", flags.Arg(0))
	}
	return o, nil
}

// serve returns once ctx has ended and the requests under way are answered.
func serve(ctx context.Context, ln net.Listener, name string) error {
	server := &http.Server{Handler: echo.New(name), ReadHeaderTimeout: headerTimeout}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("cannot serve on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := server.Shutdown(closing)
	if err != nil {
		err = errors.Join(fmt.Errorf("cannot finish requests within %s: %w", drainTimeout, err), server.Close())
	}
	<-failed
	return err
}

func check(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("cannot check %q: must be host:port: %w", addr, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	url := "http://" + net.JoinHostPort(host, port) + "/health"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("cannot check %s: %w", url, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("cannot check %s: %w", url, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("cannot call %s healthy: want status 200, got %d", url, resp.StatusCode)
	}
	return nil
}
