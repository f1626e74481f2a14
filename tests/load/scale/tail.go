package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/load/stage"
)

const (
	tailShare  = 0.7 // of the gateway's own most
	tailRounds = 5
	mostTail   = 2.0 // times nginx's p99
)

// tails are the timings of both, round by round.
type tails struct {
	capacity, rate float64
	nginx, gateway []stage.Timing
}

// measureTail finds what the gateway can do and offers 70 % of that to it and to
// nginx, in turn, several rounds.
func measureTail(ctx context.Context, b *bench) (table string, missed []string, err error) {
	c, err := b.startCrew(ctx, usual)
	if err != nil {
		return "", nil, err
	}
	defer c.stop()
	nginx, err1 := stage.FreeAddress()
	command, err2 := b.NginxProxy(nginx)
	if err := errors.Join(err1, err2); err != nil {
		return "", nil, err
	}
	pid, err := b.Launch(ctx, stage.ProxyCore, nginx, command...)
	if err != nil {
		return "", nil, err
	}
	defer b.Kill(pid)
	all, err := c.compareTails(ctx, nginx)
	if err != nil {
		return "", nil, err
	}
	return all.String(), all.missed(), nil
}

func (c *crew) compareTails(ctx context.Context, nginx string) (t tails, err error) {
	if t.capacity, err = c.capacity(ctx); err != nil {
		return t, err
	}
	t.rate = tailShare * t.capacity
	requests := int(t.rate * c.b.seconds / 2)
	for round := range tailRounds {
		for addr, to := range map[string]*[]stage.Timing{nginx: &t.nginx, c.addrs[0]: &t.gateway} {
			load := c.load(requests, t.rate)
			load.Addrs = []string{addr}
			one, err := load.Run(ctx)
			if err != nil {
				return t, err
			}
			*to = append(*to, one)
		}
		fmt.Fprintf(os.Stderr, "tail, round %d of %d\n", round+1, tailRounds)
	}
	return t, nil
}

// capacity is the requests per second that the gateway answers to clients who send
// whenever they may, the least of three times.
func (c *crew) capacity(ctx context.Context) (least float64, err error) {
	for i := range 3 {
		start := time.Now()
		got, err := c.load(int(10_000*c.b.seconds), 0).Run(ctx)
		if err != nil {
			return 0, err
		}
		if i == 0 || got.PerSecond < least {
			least = got.PerSecond
		}
		fmt.Fprintf(os.Stderr, "capacity: %.0f a second in %s\n", got.PerSecond, time.Since(start))
	}
	return least, nil
}

// ratio compares the p99 within each round.
func (t tails) ratio() stage.Spread {
	var all []float64
	for i := range t.nginx {
		all = append(all, t.gateway[i].P99.Seconds()/t.nginx[i].P99.Seconds())
	}
	return stage.SpreadOf(all)
}

func (t tails) missed() (missed []string) {
	if got := t.ratio().Median; got > mostTail {
		missed = append(missed, fmt.Sprintf("p99 at 70 %%: %.1f × nginx's, promised ≤ %.1f", got, mostTail))
	}
	return missed
}

// String is the table in Markdown.
func (t tails) String() string {
	text := fmt.Sprintf("**The slowest answers**, %s requests a second to both, %.0f %% of the %s that the gateway answers at most\n\n", grouped(int(t.rate)), 100*tailShare, grouped(int(t.capacity)))
	text += "| | p50 | p99 | slowest |\n|---|---|---|---|\n"
	row := func(name string, all []stage.Timing) {
		of := func(figure func(stage.Timing) time.Duration) string {
			var values []float64
			for _, one := range all {
				values = append(values, 1000*figure(one).Seconds())
			}
			return stage.SpreadOf(values).Format("%.2f")
		}
		text += fmt.Sprintf("| %s | %s ms | %s ms | %s ms |\n", name, of(func(t stage.Timing) time.Duration { return t.P50 }),
			of(func(t stage.Timing) time.Duration { return t.P99 }), of(func(t stage.Timing) time.Duration { return t.Max }))
	}
	row("nginx, bare proxy_pass", t.nginx)
	row("gateway, everything on", t.gateway)
	return text + fmt.Sprintf("\np99 beside nginx's: %s ×.\n", t.ratio().Format("%.2f"))
}
