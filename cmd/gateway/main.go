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
	"github.com/go-api-gateway-pro/gateway/node/term"
)

// Stamped by the linker.
var version, commit = "dev", ""

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// usage fits a terminal of 24 lines by 80 columns; a test says so.
const usage = `usage: gateway [-config FILE]         run one node (default config.yaml)
       gateway -check FILE            check a configuration, show every fault
       gateway -token USER            print a token for development, signed with
                                      the secret of -config, good for 24 hours
       gateway -push FILE [-to ADDR]  give a configuration to all members or to
                                      none, through any member's admin port
                                      ADDR (default 127.0.0.1:9901)
       gateway -healthcheck           ask the node of -config on this machine
       gateway -version               print version, commit and Go release

exit codes
  0  done; the file is good; the node stopped as it was told to
  1  failed; the file has faults; a push was refused and nobody switched
  2  used wrongly: an unknown flag or an argument too many; for -push also
     partial: decided, but not confirmed by all members

environment
  ADMIN_TOKEN  the admin port's token, for -push
  GATEWAY_ENV  production: weak secrets are refused, not warned about
  NO_COLOR     set to anything: no colours, on a terminal either
`

// run translates flags into calls; usage tells what it returns.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("gateway", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("config", "config.yaml", "")
	check := flags.String("check", "", "")
	subject := flags.String("token", "", "")
	push := flags.String("push", "", "")
	to := flags.String("to", "127.0.0.1:9901", "")
	health := flags.Bool("healthcheck", false, "")
	showVersion := flags.Bool("version", false, "")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "%v; see gateway --help\n", err)
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "unexpected argument %q; see gateway --help\n", flags.Arg(0))
		return 2
	}
	switch {
	case *showVersion:
		fmt.Fprintln(stdout, node.VersionText(version, commit))
		return 0
	case *check != "":
		return report(node.CheckConfig(stdout, *check), *check, stderr)
	case *subject != "":
		return report(node.PrintToken(stdout, *path, *subject, nil), *path, stderr)
	case *push != "":
		code, err := node.PushFile(stdout, *push, *to, os.Getenv("ADMIN_TOKEN"))
		return max(code, report(err, *push, stderr))
	case *health:
		return report(node.CheckHealth(*path), *path, stderr)
	}
	return report(serve(*path), *path, stderr)
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

// report shows every fault joined in err, those of a configuration with their
// place in the file.
func report(err error, file string, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	node.PrintFaults(stderr, file, err, term.For(stderr, os.LookupEnv))
	return 1
}
