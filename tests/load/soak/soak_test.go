package soak

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// Short and light by default; `make soak` asks for more.
var (
	duration = flag.Duration("duration", 6*time.Second, "how long TestSoak loads the cluster")
	rate     = flag.Float64("rate", 60, "requests a second, in all")
	write    = flag.String("write", "", "file to write the report to")
)

// The client of Redis reports every failed dial; here it waits for the server.
func TestMain(m *testing.M) {
	logging.Disable()
	os.Exit(m.Run())
}

// TestSoak fails if a request does or, in a run of at least half a minute, if a node
// grows.
func TestSoak(t *testing.T) {
	binary, err := harness.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := &run{lasts: *duration, rate: *rate}
	play(t, newStage(t, binary), r)
	for _, w := range r.nodes {
		if len(w.samples) < 5 {
			t.Fatalf("%d samples of a node, want at least 5", len(w.samples))
		}
	}
	if r.reloads == 0 || r.restarts == 0 || r.sockets == 0 {
		t.Errorf("%d reloads, %d restarts, %d WebSockets: want some of each", r.reloads, r.restarts, r.sockets)
	}
	text := r.String()
	if *write == "" {
		t.Log(text)
	} else {
		fmt.Print(text)
		if err := os.WriteFile(*write, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, miss := range r.misses() {
		t.Error(miss)
	}
}
