package accuracy

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
	full    = flag.Bool("full", false, "play every scenario, not the short one alone")
	results = flag.String("results", "", "file to write the table to")
)

// The client of Redis reports every failed dial; here they are the point.
func TestMain(m *testing.M) {
	logging.Disable()
	os.Exit(m.Run())
}

// TestAccuracy plays the scenarios and fails if a line misses its figure. Without
// -full that is one short scenario.
func TestAccuracy(t *testing.T) {
	binary, err := harness.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	all := table{machine: harness.Inspect(), command: "make accuracy", began: time.Now()}
	scenarios := smoke()
	if *full {
		scenarios = plan()
	}
	for _, s := range scenarios {
		var lines []line // none of what -run leaves out
		t.Run(s.name, func(t *testing.T) {
			lines = unplayed(s, "the scenario broke off", invalid)
			if why := missing(t, binary, s); why != "" {
				lines = unplayed(s, why, unbuilt)
				return
			}
			r := play(t, binary, s)
			lines = r.lines()
		})
		for _, l := range lines {
			fmt.Println(l)
		}
		all.lines = append(all.lines, lines...)
	}
	all.took = time.Since(all.began)
	publish(t, &all)
	for _, l := range all.lines {
		// A machine too busy to offer the short load tells nothing, and is no failure.
		if !l.outcome.ok() && (*full || l.outcome != invalid) {
			t.Error(l)
		}
	}
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
	fmt.Println(text.String())
	if err := os.WriteFile(*results, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
