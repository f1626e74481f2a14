package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	f := func(env map[string]string, args string, want options) {
		t.Helper()
		for _, key := range []string{"ECHO_ADDR", "ECHO_NAME"} {
			t.Setenv(key, env[key])
		}
		got, err := parse(strings.Fields(args), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(options{})); diff != "" {
			t.Errorf("%v %s: options differ (-want +got):\n%s", env, args, diff)
		}
	}
	env := map[string]string{"ECHO_ADDR": "0.0.0.0:8080", "ECHO_NAME": "users"}
	f(nil, "", options{addr: "127.0.0.1:9001", name: "echo"})
	f(env, "", options{addr: "0.0.0.0:8080", name: "users"})
	f(env, "-addr :1 -name a -healthcheck", options{addr: ":1", name: "a", healthcheck: true})
}

func TestParseErrors(t *testing.T) {
	for _, args := range []string{"-nope", "stray", "-healthcheck=maybe"} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s: got no error", args)
		}
	}
}

// The server must answer its own health check, finish a request that it has
// begun when it is told to stop, and be unhealthy afterwards.
func TestLife(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, ln, "one") }()

	_, port, _ := net.SplitHostPort(ln.Addr().String())
	for _, addr := range []string{ln.Addr().String(), ":" + port, "0.0.0.0:" + port} {
		if err := run(t.Context(), []string{"-healthcheck", "-addr", addr}, io.Discard); err != nil {
			t.Errorf("check of %s: %v", addr, err)
		}
	}

	resp, err := http.Get("http://" + ln.Addr().String() + "/?sse=2&every_ms=50")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stop()
	data, err := io.ReadAll(resp.Body)
	if err != nil || bytes.Count(data, []byte("id: ")) != 2 {
		t.Errorf("got %q, %v, want both events", data, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
	if err := check(t.Context(), ln.Addr().String()); err == nil {
		t.Error("check of a stopped server: got no error")
	}
}

func TestTakenAddress(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	err = run(t.Context(), []string{"-addr", ln.Addr().String()}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "-addr or ECHO_ADDR") {
		t.Errorf("got %v, want an error that names the flag", err)
	}
}
