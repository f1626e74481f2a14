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
	tailShare  = 0.7  // of the gateway's own most
	tailRounds = 11   // that count
	tailTries  = 22   // to get them
	mostOthers = 0.08 // of the core; with more the round does not count
	mostTail   = 2.0  // times nginx's p99
)

// runner is one of both.
type runner struct {
	addr string
	pid  int
}

// tails are the timings of both, round by round.
type tails struct {
	capacity, rate float64
	nginx, gateway []stage.Timing
	disturbed      int // rounds that did not count
}

// measureTail finds what the gateway can do and offers 70 % of that to it and to
// nginx, in turn, in short rounds. A round in which something else used the core tells
// nothing: 70 % and a bit more are too much for anybody.
func measureTail(ctx context.Context, b *bench) (table string, missed []string, err error) {
	c, err := b.startCrew(ctx, usual)
	if err != nil {
		return "", nil, err
	}
	defer c.stop()
	addr, err1 := stage.FreeAddress()
	command, err2 := b.NginxProxy(addr)
	if err := errors.Join(err1, err2); err != nil {
		return "", nil, err
	}
	pid, err := b.Launch(ctx, stage.ProxyCore, addr, command...)
	if err != nil {
		return "", nil, err
	}
	defer b.Kill(pid)
	all, err := c.compareTails(ctx, runner{addr, pid})
	if err != nil {
		return "", nil, err
	}
	return all.String(), all.missed(), nil
}

func (c *crew) compareTails(ctx context.Context, nginx runner) (t tails, err error) {
	if t.capacity, err = c.capacity(ctx); err != nil {
		return t, err
	}
	t.rate = tailShare * t.capacity
	gateway := runner{c.addrs[0], c.pids[0]}
	for try := 1; try <= tailTries && len(t.nginx) < tailRounds; try++ {
		of, others1, err1 := c.offer(ctx, nginx, t.rate)
		ours, others2, err2 := c.offer(ctx, gateway, t.rate)
		if err := errors.Join(err1, err2); err != nil {
			return t, err
		}
		fmt.Fprintf(os.Stderr, "tail, round %d: p99 %s, nginx %s, others on the core %.2f, %.2f\n", try, ours.P99, of.P99, others2, others1)
		if max(others1, others2) > mostOthers {
			t.disturbed++
			continue
		}
		t.nginx, t.gateway = append(t.nginx, of), append(t.gateway, ours)
	}
	return t, nil
}

// offer also tells which share of the core was used by others meanwhile.
func (c *crew) offer(ctx context.Context, to runner, rate float64) (t stage.Timing, others float64, err error) {
	load := c.load(int(rate*c.b.seconds/6), rate)
	load.Addrs = []string{to.addr}
	core, err1 := stage.CoreTime(stage.ProxyCore)
	own, err2 := stage.CPUTime(to.pid)
	start := time.Now()
	t, err3 := load.Run(ctx)
	took := time.Since(start)
	coreAfter, err4 := stage.CoreTime(stage.ProxyCore)
	ownAfter, err5 := stage.CPUTime(to.pid)
	others = float64(coreAfter-core-(ownAfter-own)) / float64(took)
	return t, others, errors.Join(err1, err2, err3, err4, err5)
}

// capacity is the requests per second that the gateway answers to clients who send
// whenever they may: the most of three times, since others can only make it less.
func (c *crew) capacity(ctx context.Context) (most float64, err error) {
	for range 3 {
		got, err := c.load(int(10_000*c.b.seconds), 0).Run(ctx)
		if err != nil {
			return 0, err
		}
		most = max(most, got.PerSecond)
	}
	return most, nil
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
	if len(t.nginx) < tailRounds {
		return []string{fmt.Sprintf("p99 at 70 %%: others used the core in %d rounds of %d, which says nothing", t.disturbed, tailTries)}
	}
	if got := t.ratio().Median; got > mostTail {
		missed = append(missed, fmt.Sprintf("p99 at 70 %%: %.1f × nginx's, promised ≤ %.1f", got, mostTail))
	}
	return missed
}

// String is the table in Markdown.
func (t tails) String() string {
	text := fmt.Sprintf("**The slowest answers**, %s requests a second to both, %.0f %% of the %s that the gateway answers at most\n\n", grouped(int(t.rate)), 100*tailShare, grouped(int(t.capacity)))
	text += "| | p50 | p99 | slowest |\n|---|---|---|---|\n"
	if len(t.nginx) == 0 {
		return text + "| others used the core | | | |\n"
	}
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
	return text + fmt.Sprintf("\np99 beside nginx's: %s ×, in %d rounds; %d more did not count.\n", t.ratio().Format("%.2f"), len(t.nginx), t.disturbed)
}
