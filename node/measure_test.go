package node

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/limiter"
)

// Rows are sent by every member each second: the busiest node's is no larger than
// half a datagram.
func TestRowsAreSmall(t *testing.T) {
	const most = 700
	m := &measure{reading: reading{requests: 99999, errors: 9999, limited: 99999, p99: 99 * time.Second}, snapshot: &snapshot{}, decisions: map[string]uint64{}}
	for i := range 200 {
		name := fmt.Sprintf("/a/rather/long/path/%d/*", i)
		l := &limit{limit: limiter.Limit{ID: name}}
		m.snapshot.routes = append(m.snapshot.routes, &route{label: name})
		m.snapshot.limits = append(m.snapshot.limits, l)
		m.routes = append(m.routes, routeRate{9999, 999})
		m.limits = append(m.limits, limitLevel{used: 1, denied: 9999})
	}
	for _, source := range []limiter.Source{limiter.SourceRedis, limiter.SourceLease, limiter.SourceDeny, limiter.SourceLocal} {
		m.decisions[source.String()] = 99999
	}
	row, err := json.Marshal(status{
		UptimeS: 99_999_999, Mode: "redis", Health: 7, RPS: m.requests, P99MS: 99999.999, Errors: m.errors, Limited: m.limited, Draining: true,
		Config:    configStatus{Version: 9999, Hash: strings.Repeat("f", 16), LoadedAt: time.Unix(1_800_000_000, 123456789).UTC(), Result: "refused"},
		Decisions: m.decisions, Routes: m.tellRoutes(), Limits: m.tellLimits(),
	})
	if err != nil || len(row) > most {
		t.Errorf("a row has %d bytes, want at most %d (%v): %s", len(row), most, err, row)
	}
	t.Logf("the largest row has %d bytes", len(row))
}

func TestMeter(t *testing.T) {
	m := &meter{now: map[string]uint64{}}
	f := func(value, want uint64) {
		t.Helper()
		m.turn()
		if got := m.since("a", value); got != want {
			t.Errorf("%d since the last second, want %d", got, want)
		}
	}
	f(5, 5)
	f(5, 0)
	f(9, 4)
	f(2, 2) // began again
	m.turn()
	f(7, 7) // was not there for a second
}

// What members tell of a route or limit is added up wherever it is known, and what
// nobody knows does no harm.
func TestViewsAddUpTheCluster(t *testing.T) {
	statuses := map[string]status{
		"me":    {Routes: [][3]uint64{{markOf("/a"), 1000, 1000}}},
		"other": {Routes: [][3]uint64{{markOf("/a"), 7, 2}, {markOf("/gone"), 1, 1}}, Limits: [][3]uint64{{markOf("/a|ip"), 900, 5}, {math.MaxUint64, 1, 1}}},
		"third": {Limits: [][3]uint64{{markOf("/a|ip"), 2500, 1}}},
	}
	rate := routeRate{requests: 3, failed: 1}
	rate.add(statuses, "me", markOf("/a"))
	if rate != (routeRate{10, 3}) {
		t.Errorf("the route has %+v", rate)
	}
	level := limitLevel{used: 0.5, denied: 4}
	level.add(statuses, "me", markOf("/a|ip"))
	if level != (limitLevel{1, 10}) {
		t.Errorf("the limit has %+v", level)
	}
}

// The configuration that most run is the usual one; of two the older.
func TestUsualHash(t *testing.T) {
	f := func(want string, hashes ...string) {
		t.Helper()
		statuses := map[string]status{}
		for i, hash := range hashes {
			statuses[fmt.Sprint(i)] = status{Config: configStatus{Hash: hash, LoadedAt: time.Unix(int64(1000+i), 0)}}
		}
		for range 20 { // the order of a map is chance
			if got := usualHash(statuses); got != want {
				t.Fatalf("%q: the usual one is %q, want %q", hashes, got, want)
			}
		}
	}
	f("")
	f("", "")
	f("a", "a")
	f("b", "a", "b", "b")
	f("a", "a", "b")
	f("b", "b", "a")
	f("c", "", "", "c")
}
