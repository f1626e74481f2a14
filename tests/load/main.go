// Command load plays a scenario of tests/load/scenarios.json against a gateway, as
// the k6 scripts beside it do, where k6 is not installed.
//
//	go run ./tests/load -scenario steady|flood|throughput [-target URL,…] [-seconds N]
//
// It prints what was offered and answered, and a verdict for each threshold. The exit
// code is 0 if all hold, 1 if one is missed or the load could not be played, 2 for
// wrong use. Tokens are signed as the gateway's -token does, with the secret of
// -config or JWT_SECRET.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-api-gateway-pro/gateway/node"
	"github.com/go-api-gateway-pro/gateway/tests/load/attack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, err)
		return 2
	}
	verdicts, err := play(ctx, a, stdout)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return min(attack.Failed(verdicts), 1)
}

// parse makes an attack of the flags. Its errors name the flag or field.
func parse(args []string, out io.Writer) (*attack.Attack, error) {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(out)
	scenario := flags.String("scenario", "steady", "`name` of the scenario")
	file := flags.String("file", "tests/load/scenarios.json", "`file` of the scenarios")
	target := flags.String("target", "http://127.0.0.1:8080", "`URL` of the gateway; several, with commas, are asked in turn")
	seconds := flags.Float64("seconds", 0, "how long, instead of what the scenario says")
	config := flags.String("config", "config.yaml", "configuration `file` whose secret signs the tokens")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("cannot use argument %q: only flags are allowed", flags.Arg(0))
	}
	if *seconds < 0 {
		return nil, fmt.Errorf("-seconds: must be more than 0, got %g", *seconds)
	}
	f, err := attack.Read(*file)
	if err != nil {
		return nil, err
	}
	s, err := f.Scenario(*scenario)
	if err != nil {
		return nil, fmt.Errorf("-%w", err)
	}
	if *seconds > 0 {
		s.Seconds = *seconds
	}
	gateways, err := bases(*target)
	return &attack.Attack{File: f, Scenario: s, Gateways: gateways, Token: signer(*config)}, err
}

// bases are the URLs without a slash at their end.
func bases(list string) (all []string, err error) {
	for one := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(one)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("-target: must be http://host:port or https://host:port, got %q", one)
		}
		all = append(all, strings.TrimSuffix(one, "/"))
	}
	return all, nil
}

// signer returns a function that makes the token of a user. Users are new ones in
// each run: their buckets are full.
func signer(config string) func(user int) (string, error) {
	began := time.Now().UnixNano()
	var mu sync.Mutex
	made := map[int]string{}
	return func(user int) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if token, known := made[user]; known {
			return token, nil
		}
		var out bytes.Buffer
		if err := node.PrintToken(&out, config, fmt.Sprintf("load-%d-%d", began, user), nil); err != nil {
			return "", err
		}
		made[user] = strings.TrimSpace(out.String())
		return made[user], nil
	}
}

// sign makes the tokens of all who are known beforehand: to make one within a load
// would count as time to an answer.
func sign(a *attack.Attack) error {
	for _, t := range a.Scenario.Targets {
		for user := range t.Users {
			if _, err := a.Token(user); err != nil {
				return err
			}
		}
	}
	return nil
}

// play waits until the buckets are full if that matters, and runs the attack.
func play(ctx context.Context, a *attack.Attack, out io.Writer) ([]attack.Verdict, error) {
	fmt.Fprintf(out, "%s, %g s on %s\n", a.Scenario.About, a.Scenario.Seconds, strings.Join(a.Gateways, ", "))
	if a.Scenario.Thresholds.Admitted != nil {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(a.File.Refill(a.Scenario) + time.Second/2):
		}
	}
	if err := sign(a); err != nil {
		return nil, err
	}
	tallies, err := a.Run(ctx)
	if err == nil {
		err = ctx.Err() // cut short: nothing is proven
	}
	if err != nil {
		return nil, err
	}
	verdicts := a.Judge(tallies)
	return verdicts, attack.Report(out, tallies, verdicts)
}
