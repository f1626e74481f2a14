// Command gateway runs one node of the API gateway.
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

// version is stamped by the linker.
var version = "dev"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run translates flags into calls: 0 is success, 1 a failure, 2 a misuse.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("gateway", flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("config", "config.yaml", "configuration `file` of the node to run")
	check := flags.String("check", "", "check a configuration `file`, print every fault and exit")
	subject := flags.String("token", "", "print a development token for a `user`, signed with the configuration's secret, and exit")
	push := flags.String("push", "", "push a configuration `file` to all members, through the node at -to; exit code 0 committed, 1 refused, 2 partial")
	to := flags.String("to", "127.0.0.1:9901", "admin port of the node to push through, as `host:port`; the token is taken from ADMIN_TOKEN")
	health := flags.Bool("healthcheck", false, "ask the node of -config on this machine for its health and exit")
	showVersion := flags.Bool("version", false, "print the version and exit")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "unexpected argument %q; see gateway --help\n", flags.Arg(0))
		return 2
	}
	switch {
	case *showVersion:
		fmt.Fprintln(stdout, version)
		return 0
	case *check != "":
		_, err := node.LoadConfig(*check, nil)
		return report(err, stderr)
	case *subject != "":
		return report(node.PrintToken(stdout, *path, *subject, nil), stderr)
	case *push != "":
		code, err := node.PushFile(stdout, *push, *to, os.Getenv("ADMIN_TOKEN"))
		return max(code, report(err, stderr))
	case *health:
		return report(node.CheckHealth(*path), stderr)
	}
	return report(serve(*path), stderr)
}

// serve runs the node until SIGINT or SIGTERM; SIGHUP reloads.
func serve(path string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	n, err := node.New(node.Options{Path: path, Version: version})
	if err != nil {
		return err
	}
	go func() {
		for range hangups {
			_ = n.Reload() // logged by the node
		}
	}()
	return n.Run(ctx)
}

// report prints every joined error on a line of its own.
func report(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	for _, fault := range node.Faults(err) {
		fmt.Fprintln(stderr, fault)
	}
	return 1
}
