// Command peers measures the gateway beside the proxies that are installed: the
// same load (wrk), the same upstream, one core for the proxy, the other for load,
// upstream and Redis, all of them in turn, several rounds.
//
//	go run ./tests/load/peers [-rounds 5] [-seconds 6] [-connections 64] [-write FILE] [-against BINARY]
//	go run ./tests/load/peers -profile FILE
//
// It prints a table and fails if the gateway misses its figures. With -write the
// table replaces what stands between the markers in FILE. With -profile it loads
// the gateway alone, everything on, and writes a CPU profile. It needs wrk, nginx,
// redis-server and taskset; haproxy, caddy and traefik take part if they are on
// PATH. Everything listens on 127.0.0.1 and ends with the program. On a shared
// machine only the ratios mean something.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/load/stage"
)

type options struct {
	rounds, connections int
	seconds             int
	write, profile      string
	against             string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "how often each proxy is measured")
	flag.IntVar(&o.seconds, "seconds", 6, "of one measurement")
	flag.IntVar(&o.connections, "connections", 64, "of the load")
	flag.StringVar(&o.write, "write", "", "file in which the table is replaced")
	flag.StringVar(&o.profile, "profile", "", "file for a CPU profile of the gateway; nothing is compared then")
	flag.StringVar(&o.against, "against", "", "binary of another gateway, measured beside this one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	opened, err := stage.Open(ctx)
	if err != nil {
		return err
	}
	defer opened.Close()
	s := &set{Stage: opened}
	if s.admin, err = stage.FreeAddress(); err != nil {
		return err
	}
	if o.profile != "" {
		return s.profile(ctx, o)
	}
	taking, absent, err := s.startPeers(ctx, o.against)
	if err != nil {
		return err
	}
	table := results{absent: absent, options: o}
	for round := range o.rounds {
		for _, p := range taking {
			m, err := s.measure(ctx, p, o)
			if err != nil {
				return fmt.Errorf("cannot measure %s: %w", p.name, err)
			}
			table.add(p.name, m)
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.rounds)
	}
	return report(table, o)
}

// report prints the table and judges it.
func report(table results, o options) error {
	text := table.String(time.Now())
	fmt.Print(text)
	if o.write != "" {
		if err := place.Replace(o.write, text); err != nil {
			return err
		}
	}
	if _, missed := table.judged(); len(missed) > 0 {
		return fmt.Errorf("missed: %s", strings.Join(missed, "; "))
	}
	return nil
}

// place is where the table stands.
var place = stage.Place{Command: "make bench-proxy"} //nolint:gochecknoglobals // a constant
