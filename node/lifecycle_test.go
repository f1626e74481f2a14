package node

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps the date for the whole process, and its workers and idle
		// connections end by themselves, seconds after they were stopped.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		// The tests' own keep-alive client connections.
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
	)
}

func TestTeardownRunsInReverseAndNamesFailures(t *testing.T) {
	var order []string
	var stack teardown
	for _, name := range []string{"first", "second", "third"} {
		stack.push(name, func(context.Context) error {
			order = append(order, name)
			if name == "second" {
				return errors.New("stuck")
			}
			return nil
		})
	}
	err := stack.run(t.Context())
	if !slices.Equal(order, []string{"third", "second", "first"}) {
		t.Errorf("order is %v", order)
	}
	if err == nil || err.Error() != "cannot stop second: stuck" {
		t.Errorf("error is %v", err)
	}
	if stack.run(t.Context()) != nil || len(order) != 3 {
		t.Error("a second run undoes again")
	}
}

func TestNewUndoesWhatItBuilt(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	f := func(text, want string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := New(Options{Path: path, Log: io.Discard, Lookup: func(string) (string, bool) { return "", false }})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New gives %v, want %q", err, want)
		}
	}
	f("server: {host: 127.0.0.1, port: "+port+"}\nadmin: {port: 0}", "cannot listen on server.host, server.port")
	f("server: {host: 127.0.0.1, port: 0}\nadmin: {port: "+port+"}", "cannot listen on admin.host, admin.port")
	f(`cluster: {bind: "127.0.0.1:`+port+`"}`, "cannot start gossip")
	// goleak in TestMain fails if anything of the three is still running.
}

// Clients behind a balancer that watches /ready lose nothing when the node stops:
// the port is open until the balancer knows, who was let in is answered, and told
// that the connection ends.
func TestStopUnderLoadLosesNoRequest(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	n := startIn(ctx, t, strings.Replace(oneRoute, "rps: 1, burst: 2", "rps: 100000", 1), "drain_delay_ms: 300")
	var answered, parted atomic.Int64
	var unready atomic.Bool
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			client := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
			defer client.CloseIdleConnections()
			for !unready.Load() {
				resp, err := client.Get("http://" + n.Addr() + "/v1")
				if err != nil {
					t.Errorf("a request was lost: %v", err)
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("status %d", resp.StatusCode)
				}
				if resp.Close {
					parted.Add(1)
				}
				answered.Add(1)
			}
		})
	}
	eventually(t, "load", func() bool { return answered.Load() > 500 })
	stop()
	eventually(t, "answers that end their connection", func() bool { return parted.Load() > 8 })
	if got := n.do("GET", "/ready").StatusCode; got != http.StatusServiceUnavailable {
		t.Errorf("/ready answers %d while draining", got)
	}
	unready.Store(true)
	clients.Wait()
}

// Log lines that wait when the node stops are written, not dropped.
func TestStopFlushesTheAccessLog(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	n := startIn(ctx, t, oneRoute, "drain_delay_ms: 0")
	n.do("GET", "/v1", "X-Request-ID: the-last-one")
	stop()
	if err := <-n.stopped; err != nil {
		t.Fatal(err)
	}
	n.stopped <- nil
	if !strings.Contains(n.logs.String(), "the-last-one") {
		t.Error("the last request's line is lost")
	}
}

// A collector that never answers must not spoil the end.
func TestStopWithADeadCollector(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, stop := context.WithCancel(t.Context())
	n := startIn(ctx, t, "otel: {endpoint: \""+silent.Addr().String()+"\", sample_ratio: 1}\n"+oneRoute, "drain_delay_ms: 0")
	n.do("GET", "/v1")
	stop()
	if err := <-n.stopped; err != nil {
		t.Errorf("the node stopped with %v", err)
	}
	n.stopped <- nil
	n.logs.wait(t, "the last spans are lost")
}

// A request that outlasts the drain is cut off: a node that stopped answers
// nobody, also in a process that goes on.
func TestStopCutsOffWhatOutlastsTheDrain(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	n := startIn(ctx, t, oneRoute, "drain_delay_ms: 0, drain_timeout_ms: 400")
	entered, release := make(chan struct{}), make(chan struct{})
	n.builtins["/stuck"] = func(string) (page, error) { close(entered); <-release; return page{status: 200}, nil }
	answer := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + n.Addr() + "/stuck")
		if err == nil {
			_ = resp.Body.Close()
		}
		answer <- err
	}()
	<-entered
	stop()
	if err := <-n.stopped; err != nil {
		t.Errorf("the node stopped with %v", err)
	}
	n.stopped <- nil
	if err := <-answer; err == nil {
		t.Error("the stuck request was answered by a node that had stopped")
	}
	close(release)
}
