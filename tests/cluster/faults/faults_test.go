package faults

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

var (
	full    = flag.Bool("full", false, "play every fault, not two of them shortly")
	results = flag.String("results", "", "file to write the table to")
)

// The client of Redis reports every failed dial; here they are the point.
func TestMain(m *testing.M) {
	logging.Disable()
	os.Exit(m.Run())
}

// TestFaults plays the faults and fails if one breaks a promise.
func TestFaults(t *testing.T) {
	binary, err := harness.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	all := table{machine: harness.Inspect(), began: time.Now()}
	list := plan()
	if !*full {
		list = smoke()
	}
	for _, f := range list {
		r, played := result{fault: f, missed: []string{"it broke off"}}, false
		t.Run(f.name, func(t *testing.T) {
			played = true
			r = play(t, binary, f)
			for _, what := range r.missed {
				t.Error(what)
			}
		})
		if played { // -run did not leave it out
			fmt.Println(r)
			all.lines = append(all.lines, r)
		}
	}
	all.took = time.Since(all.began)
	if *results == "" {
		return
	}
	if err := os.WriteFile(*results, []byte(all.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestNamesAreUnique(t *testing.T) {
	var names []string
	for _, f := range plan() {
		if slices.Contains(names, f.name) {
			t.Errorf("two faults are called %q", f.name)
		}
		names = append(names, f.name)
	}
}
