package node

import (
	"fmt"
	"strings"
	"testing"
)

// Nothing is done for each route that looks at all of them: ten times the routes
// are ten times the work of a reload.
func TestCompilingGrowsWithTheRoutes(t *testing.T) {
	n := start(t, oneRoute)
	work := func(routes int) float64 {
		var text strings.Builder
		text.WriteString("jwt: {secret: a-secret-of-32-bytes-or-even-more}\nroutes:\n")
		for i := range routes {
			fmt.Fprintf(&text, "  - {path: \"/r%d/*\", upstream: \"http://127.0.0.1:1\", rate_limits: [{key_by: \"claim:tenant\", rps: 1}, {key_by: ip, rps: 1}]}\n", i)
		}
		cfg, err := n.parse([]byte(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		return testing.AllocsPerRun(1, func() {
			if _, err := n.compile(cfg); err != nil {
				t.Fatal(err)
			}
		})
	}
	few, many := work(200), work(2000)
	if many > 11*few {
		t.Errorf("%.0f allocations for 200 routes, %.0f for 2,000", few, many)
	}
}
