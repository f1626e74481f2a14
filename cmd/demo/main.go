// Command demo runs a whole cluster in one process: gateway nodes behind a
// round-robin front, one Redis that they share and the two upstreams of the
// shipped configuration. Typed commands play the faults, and what the cluster
// makes of them is told in a line each.
//
// Everything but the front and the Redis is what runs in production: the nodes
// read copies of one configuration file, listen on sockets of their own, gossip
// over loopback and are told apart by nothing but environment variables. A changed
// file is copied to all; the copies can be changed, too, to make nodes differ. What it
// cannot show is the crash of a process: a killed node drops its listener at
// once, but leaves the cluster politely.
//
// All ports are tried before anything starts, and every one that is taken is
// named with the flag that moves it. A node that fails later is reported and
// the others go on. The end of standard input is not the end of the demo.
//
//	            ┌▶ 4 node 1 ─┬▶ 3 upstreams users, public
//	5 front ────┼▶ 4 node 2 ─┤
//	            └▶ 4 node 3 ─┴▶ 2 redis          1 ports, log file
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-api-gateway-pro/gateway/node"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait
	os.Exit(run(ctx, os.Args[1:], terminal{os.Stdin, os.Stdout, os.Stderr}))
}

// terminal is where commands come from and where texts go.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// run plays the demo until ctx ends or somebody types quit: 0 is success, 1 a
// failure, 2 a misuse.
func run(ctx context.Context, args []string, t terminal) int {
	opts, err := parse(args, t.err)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	d, err := start(ctx, opts, t)
	if err != nil {
		if ctx.Err() != nil {
			return 0 // interrupted while starting, which is no failure
		}
		for _, fault := range node.Faults(err) {
			fmt.Fprintln(t.err, fault)
		}
		return 1
	}
	defer d.close()
	if err := d.introduce(t.out); err != nil {
		fmt.Fprintln(t.err, err)
		return 1
	}
	d.follow(ctx)
	d.obey(ctx, t.in)
	return 0
}

// options are the flags.
type options struct {
	port, nodePort, adminPort, gossipPort, upstreamPort, redisPort int

	nodes   int
	config  string
	dir     string
	verbose bool
}

const (
	maxNodes = 9
	maxPort  = 65535
)

// parse reports a misuse to out itself.
func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.IntVar(&o.port, "port", 8080, "`port` of the front; for this and all others, 0 picks a free one")
	flags.IntVar(&o.nodePort, "node-port", 8081, "first `port` of the nodes")
	flags.IntVar(&o.adminPort, "admin-port", 9901, "first `port` of the nodes' admin ports")
	flags.IntVar(&o.gossipPort, "gossip-port", 7951, "first `port` of the nodes' gossip, TCP and UDP")
	flags.IntVar(&o.upstreamPort, "upstream-port", 9001, "first `port` of the two upstreams")
	flags.IntVar(&o.redisPort, "redis-port", 6390, "`port` of the Redis")
	flags.IntVar(&o.nodes, "nodes", 3, "how `many` nodes, 1 to 9")
	flags.StringVar(&o.config, "config", "config.yaml", "configuration `file` of all nodes")
	flags.StringVar(&o.dir, "dir", "bin/demo", "`directory` for the nodes' own files, the log and a token; one for each demo that runs")
	flags.BoolVar(&o.verbose, "v", false, "write the nodes' logs to standard error, not to a file")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	err := o.check()
	if flags.NArg() > 0 {
		err = errors.Join(err, fmt.Errorf("cannot use argument %q: only flags are allowed", flags.Arg(0)))
	}
	if err != nil {
		fmt.Fprintln(out, err)
	}
	return o, err
}

// check reports every flag that is out of range.
func (o options) check() error {
	var errs []error
	f := func(name string, value, low, high int) {
		if value < low || value > high {
			errs = append(errs, fmt.Errorf("-%s: must be from %d to %d, got %d", name, low, high, value))
		}
	}
	f("nodes", o.nodes, 1, maxNodes)
	f("port", o.port, 0, maxPort)
	f("node-port", o.nodePort, 0, maxPort-maxNodes)
	f("admin-port", o.adminPort, 0, maxPort-maxNodes)
	f("gossip-port", o.gossipPort, 0, maxPort-maxNodes)
	f("upstream-port", o.upstreamPort, 0, maxPort-maxNodes)
	f("redis-port", o.redisPort, 0, maxPort)
	return errors.Join(errs...)
}
