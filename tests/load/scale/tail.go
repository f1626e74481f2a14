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
	tailShare  = 0.7  // of the most that each of both answers
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

// offered is what one of both was offered, and how it took it.
type offered struct {
	stage.Timing
	rate   float64
	others float64 // the share of the core that others used meanwhile
}

// tails are the timings of both, round by round.
type tails struct {
	nginx, gateway []offered
	disturbed      int // rounds that did not count
}

// measureTail offers nginx and the gateway, in turn, 70 % of what each has just shown
// it can do, in short rounds. A round in which something else used the core tells
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
	gateway := runner{c.addrs[0], c.pids[0]}
	for try := 1; try <= tailTries && len(t.nginx) < tailRounds; try++ {
		of, err1 := c.offer(ctx, nginx)
		ours, err2 := c.offer(ctx, gateway)
		if err := errors.Join(err1, err2); err != nil {
			return t, err
		}
		fmt.Fprintf(os.Stderr, "tail, round %d: %.0f/s, p99 %s; nginx %.0f/s, %s; others on the core %.2f, %.2f\n",
			try, ours.rate, ours.P99, of.rate, of.P99, ours.others, of.others)
		if max(of.others, ours.others) > mostOthers {
			t.disturbed++
			continue
		}
		t.nginx, t.gateway = append(t.nginx, of), append(t.gateway, ours)
	}
	return t, nil
}

// offer finds what one of both can do now, offers it the share of that, and sees what
// others did meanwhile.
func (c *crew) offer(ctx context.Context, to runner) (o offered, err error) {
	load := c.load(int(5000*c.b.seconds), 0)
	load.Addrs = []string{to.addr}
	most, err := load.Run(ctx)
	if err != nil {
		return o, err
	}
	o.rate = tailShare * most.PerSecond
	load = c.load(int(o.rate*c.b.seconds/6), o.rate)
	load.Addrs = []string{to.addr}
	core, err1 := stage.CoreTime(stage.ProxyCore)
	own, err2 := stage.CPUTime(to.pid)
	start := time.Now()
	var err3 error
	o.Timing, err3 = load.Run(ctx)
	took := time.Since(start)
	coreAfter, err4 := stage.CoreTime(stage.ProxyCore)
	ownAfter, err5 := stage.CPUTime(to.pid)
	o.others = float64(coreAfter-core-(ownAfter-own)) / float64(took)
	return o, errors.Join(err1, err2, err3, err4, err5)
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
	text := fmt.Sprintf("**The slowest answers** at %.0f %% of what each answers at most\n\n", 100*tailShare)
	text += "| | requests a second | p50 | p99 | slowest |\n|---|---|---|---|---|\n"
	if len(t.nginx) == 0 {
		return text + "| others used the core | | | | |\n"
	}
	text += row("nginx, bare proxy_pass", t.nginx) + row("gateway, everything on", t.gateway)
	return text + fmt.Sprintf("\np99 beside nginx's: %s ×, in %d rounds; %d more did not count.\n", t.ratio().Format("%.2f"), len(t.nginx), t.disturbed)
}

func row(name string, all []offered) string {
	of := func(layout string, figure func(offered) float64) string {
		var values []float64
		for _, one := range all {
			values = append(values, figure(one))
		}
		return stage.SpreadOf(values).Format(layout)
	}
	millis := func(d time.Duration) float64 { return 1000 * d.Seconds() }
	return fmt.Sprintf("| %s | %s | %s ms | %s ms | %s ms |\n", name, of("%.0f", func(o offered) float64 { return o.rate }),
		of("%.2f", func(o offered) float64 { return millis(o.P50) }), of("%.2f", func(o offered) float64 { return millis(o.P99) }),
		of("%.2f", func(o offered) float64 { return millis(o.Max) }))
}
