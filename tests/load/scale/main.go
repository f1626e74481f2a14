// Command scale measures how what a request costs grows: with the number of nodes,
// of routes, of users and of idle connections, and with time. It also measures the
// slowest answers of a gateway that has work for 70 % of its time, beside nginx's.
//
//	go run ./tests/load/scale [-seconds 6] [-quick] [-only nodes] [-write FILE]
//
// It prints a table for each and fails if the gateway misses its figures. With
// -write the tables replace what stands between the markers in FILE. It needs what
// the comparison (tests/load/peers) needs, and a limit of 20,000 descriptors for idle
// connections. Everything listens on 127.0.0.1 and ends with the program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/load/stage"
)

// place is where the tables stand.
var place = stage.Place{Command: "make bench-scale"} //nolint:gochecknoglobals // a constant

type options struct {
	seconds     float64 // of one measurement
	quick       bool
	only, write string
}

func main() {
	var o options
	flag.Float64Var(&o.seconds, "seconds", 6, "of one measurement")
	flag.BoolVar(&o.quick, "quick", false, "a second each, and no million of users: for a look, not for figures")
	flag.StringVar(&o.only, "only", "", "one of "+strings.Join(names(), ", "))
	flag.StringVar(&o.write, "write", "", "file in which the tables are replaced")
	flag.Parse()
	if o.quick {
		o.seconds = 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.only != "" && !slices.Contains(names(), o.only) {
		return fmt.Errorf("-only %s: want one of %s", o.only, strings.Join(names(), ", "))
	}
	if o.only != "" && o.write != "" {
		return errors.New("-write takes all tables: leave out -only")
	}
	opened, err := stage.Open(ctx)
	if err != nil {
		return err
	}
	defer opened.Close()
	text, missed, err := measureAll(ctx, &bench{Stage: opened, options: o})
	if err != nil {
		return err
	}
	if o.write != "" {
		if err := place.Replace(o.write, text); err != nil {
			return err
		}
	}
	if len(missed) > 0 {
		return fmt.Errorf("missed: %s", strings.Join(missed, "; "))
	}
	return nil
}

// measureAll prints each table as soon as it is there.
func measureAll(ctx context.Context, b *bench) (text string, missed []string, err error) {
	text = preamble(time.Now(), b.options)
	fmt.Print(text)
	for _, s := range sections() {
		if b.only != "" && b.only != s.name {
			continue
		}
		table, late, err := s.measure(ctx, b)
		if err != nil {
			return "", nil, fmt.Errorf("cannot measure %s: %w", s.name, err)
		}
		missed = append(missed, late...)
		part := "\n" + table
		fmt.Print(part)
		text += part
	}
	return text, missed, nil
}
