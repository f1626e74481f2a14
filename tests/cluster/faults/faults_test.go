package faults

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

var (
	full    = flag.Bool("full", false, "play every fault, not the short one alone")
	results = flag.String("results", "", "file to write the table to")
)

const shownMisses = 5

// The client of Redis reports every failed dial; here they are the point.
func TestMain(m *testing.M) {
	logging.Disable()
	os.Exit(m.Run())
}

// TestFaults plays the faults and fails if one costs more than was promised.
// Without -full that is one: a killed node.
func TestFaults(t *testing.T) {
	binary, err := harness.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	all := table{began: time.Now()}
	faults := plan()
	if !*full {
		faults = nodeFaults()[:1]
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			r := row{run: run{fault: f}, misses: []string{"the run broke off"}}
			defer func() { all.rows = append(all.rows, r) }()
			r.run = play(t, binary, f)
			r.misses = r.run.misses()
			fmt.Println(r)
			for _, miss := range r.misses[:min(len(r.misses), shownMisses)] {
				t.Error(miss)
			}
			if more := len(r.misses) - shownMisses; more > 0 {
				t.Errorf("and %d more", more)
				r.misses = r.misses[:shownMisses]
			}
		})
	}
	all.took = time.Since(all.began)
	publish(t, &all)
}

// publish writes the table where the flags want it.
func publish(t *testing.T, all *table) {
	t.Helper()
	if *results == "" {
		return
	}
	var text strings.Builder
	if err := all.write(&text); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*results, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
