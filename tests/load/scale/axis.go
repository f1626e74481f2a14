package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/load/stage"
)

// axis is one number that grows while the others stay.
type axis struct {
	name   string
	title  string
	values []int
	set    func(t *trial, value int)
	holds  func(first, last outcome) []string // names what it does not hold
}

const (
	mostOfRoutes = 1.5   // times the CPU of 10 routes, with 10,000
	mostOfUsers  = 100.0 // MiB for a million
	quickUsers   = 100_000
)

func axes() []axis {
	nothing := func(_, _ outcome) []string { return nil }
	return []axis{
		{"nodes", "Nodes of a cluster", []int{1, 3, 9}, func(t *trial, v int) { t.nodes = v }, nothing},
		{"routes", "Routes", []int{10, 100, 1000, 10_000}, func(t *trial, v int) { t.routes = v }, routesHold},
		{"users", "Users, each with a token and a bucket, taken in turn", []int{10, 1000, 100_000, 1_000_000}, func(t *trial, v int) { t.users = v }, usersHold},
		{"idle", "Connections of clients that send nothing", []int{0, 100, 1000, 10_000}, func(t *trial, v int) { t.idle = v }, nothing},
	}
}

func routesHold(few, many outcome) (missed []string) {
	if got := many.cpu / few.cpu; got > mostOfRoutes {
		missed = append(missed, fmt.Sprintf("10,000 routes: %.2f × the CPU of 10, promised ≤ %.1f", got, mostOfRoutes))
	}
	return missed
}

func usersHold(few, many outcome) (missed []string) {
	if got := many.rss - few.rss; got > mostOfUsers {
		missed = append(missed, fmt.Sprintf("1,000,000 users: %.0f MiB, promised ≤ %.0f", got, mostOfUsers))
	}
	return missed
}

func (a axis) measure(ctx context.Context, b *bench) (table string, missed []string, err error) {
	table = a.head()
	var all []outcome
	for _, v := range a.values {
		t := usual
		a.set(&t, v)
		if b.quick && t.users > quickUsers {
			continue // they take a minute to come once
		}
		o, err := b.try(ctx, t)
		if err != nil {
			return "", nil, fmt.Errorf("%d: %w", v, err)
		}
		fmt.Fprintf(os.Stderr, "%d %s\n", v, a.name)
		table += o.row(grouped(v))
		all = append(all, o)
	}
	return table, a.holds(all[0], all[len(all)-1]), nil
}

func (a axis) head() string {
	return "**" + a.title + "**\n\n| " + a.name + " | CPU per request | scripts in Redis a second | CPU of Redis per request | p50 | p99 | memory of a node | metrics page |\n" +
		"|---|---|---|---|---|---|---|---|\n"
}

func (o outcome) row(name string) string {
	return fmt.Sprintf("| %s | %.1f µs | %s | %.1f µs | %s | %s | %.0f MiB | %s KiB in %s |\n", name, o.cpu, grouped(int(o.scripts)), o.redisCPU,
		millis(o.P50), millis(o.P99), o.rss, grouped(o.page/1024), millis(o.scrape))
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// grouped writes thousands with a comma.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// preamble says what was measured where.
func preamble(at time.Time, o options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Commit %s, %s, `make bench-scale`: %.0f s each, ", stage.Commit(), at.UTC().Format("2006-01-02 15:04 UTC"), o.seconds)
	fmt.Fprintf(&b, "%s requests/s; where nothing else is said 1 node, %d routes, %d users.\n", grouped(steady), usual.routes, usual.users)
	fmt.Fprintf(&b, "Machine: two cores (%s), one of them for all nodes together; %s.\n", stage.CPUModel(), runtime.Version())
	return b.String()
}
