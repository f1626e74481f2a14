package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/load/stage"
)

const (
	steady      = 3000 // requests a second, on all nodes together, wherever nothing else is said
	connections = 64
)

// trial is one setting that is measured.
type trial struct{ nodes, routes, users, idle int }

// usual is what a trial has where it does not differ from others.
var usual = trial{nodes: 1, routes: 10, users: 10} //nolint:gochecknoglobals // a constant

// outcome is what a trial cost. CPU is in µs per request.
type outcome struct {
	stage.Timing
	cpu      float64 // of all nodes together
	scripts  float64 // that Redis ran, per second
	redisCPU float64
	rss      float64 // MiB of one node
	page     int     // bytes of the metrics page
	scrape   time.Duration
}

// bench is the stage for a run.
type bench struct {
	*stage.Stage
	options
}

// try measures a trial on nodes of its own and an empty Redis.
func (b *bench) try(ctx context.Context, t trial) (o outcome, err error) {
	if err := b.FlushRedis(ctx); err != nil {
		return o, err
	}
	c, err := b.startCrew(ctx, t)
	if err != nil {
		return o, err
	}
	defer c.stop()
	if err := c.hold(ctx, t.idle); err != nil {
		return o, fmt.Errorf("cannot hold %d idle connections: %w", t.idle, err)
	}
	if err := c.introduce(ctx); err != nil {
		return o, err
	}
	return b.observe(ctx, c)
}

// observe loads the crew at the steady rate, three times: what the machine does
// meanwhile is seldom there in two of them.
func (b *bench) observe(ctx context.Context, c *crew) (o outcome, err error) {
	var all []outcome
	for range 3 {
		one, err := c.spend(ctx, c.load(int(steady*b.seconds/3), steady))
		if err != nil {
			return o, err
		}
		all = append(all, one)
	}
	o = middle(all)
	if o.rss, err = c.memory(); err != nil {
		return o, err
	}
	start := time.Now()
	page, err := scrape(ctx, c.addrs[0])
	o.page, o.scrape = len(page), time.Since(start)
	return o, err
}

// spend counts what a load costs.
func (c *crew) spend(ctx context.Context, load *stage.Load) (o outcome, err error) {
	cpu, redis, err := c.used(ctx)
	if err != nil {
		return o, err
	}
	if o.Timing, err = load.Run(ctx); err != nil {
		return o, err
	}
	cpuAfter, redisAfter, err := c.used(ctx)
	requests := float64(load.Requests)
	o.cpu = float64((cpuAfter - cpu).Microseconds()) / requests
	o.redisCPU = float64((redisAfter.CPU - redis.CPU).Microseconds()) / requests
	o.scripts = float64(redisAfter.Scripts-redis.Scripts) / requests * o.PerSecond
	return o, err
}

// middle is the median of each figure of a load.
func middle(all []outcome) (o outcome) {
	of := func(figure func(outcome) float64) float64 {
		values := make([]float64, len(all))
		for i := range all {
			values[i] = figure(all[i])
		}
		return stage.SpreadOf(values).Median
	}
	o.cpu = of(func(o outcome) float64 { return o.cpu })
	o.scripts = of(func(o outcome) float64 { return o.scripts })
	o.redisCPU = of(func(o outcome) float64 { return o.redisCPU })
	o.P50 = time.Duration(of(func(o outcome) float64 { return float64(o.P50) }))
	o.P99 = time.Duration(of(func(o outcome) float64 { return float64(o.P99) }))
	return o
}
