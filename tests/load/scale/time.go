package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	timeFactor = 16      // of one measurement's seconds
	every      = 500_000 // requests are a row
	mostGrowth = 1.05    // of memory in the second half, over that of the first
	timeUsers  = 10_000
)

// instant is what a node was seen with.
type instant struct {
	requests int
	rss      float64
}

// measureTime loads one node as fast as it answers and looks at its memory each second.
func measureTime(ctx context.Context, b *bench) (table string, missed []string, err error) {
	t := usual
	t.users = timeUsers
	c, err := b.startCrew(ctx, t)
	if err != nil {
		return "", nil, err
	}
	defer c.stop()
	seen, err := c.watch(ctx, time.Duration(timeFactor*b.seconds*float64(time.Second)))
	if err != nil {
		return "", nil, err
	}
	return timeTable(seen), timeHolds(seen), nil
}

// watch loads until the time is over.
func (c *crew) watch(ctx context.Context, lasts time.Duration) (seen []instant, err error) {
	ctx, stop := context.WithTimeout(ctx, lasts)
	defer stop()
	load := c.load(200_000*int(lasts.Seconds()), 0) // more than there is time for
	ended := make(chan error, 1)
	go func() {
		_, err := load.Run(ctx)
		ended <- err
	}()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case err := <-ended:
			if errors.Is(err, context.DeadlineExceeded) {
				err = nil
			}
			return seen, err
		case <-second.C:
			rss, err := c.memory()
			if err != nil {
				return nil, err
			}
			seen = append(seen, instant{load.Answered(), rss})
		}
	}
}

// timeHolds compares the halves.
func timeHolds(seen []instant) (missed []string) {
	if len(seen) < 4 {
		return []string{fmt.Sprintf("memory over time: seen %d times, which shows nothing", len(seen))}
	}
	half := len(seen) / 2
	before, after := mostMemory(seen[:half]), mostMemory(seen[half:])
	if after > mostGrowth*before {
		missed = append(missed, fmt.Sprintf("memory over time: %.1f MiB, then %.1f, promised at most 5 %% more", before, after))
	}
	return missed
}

func mostMemory(seen []instant) (mib float64) {
	for _, s := range seen {
		mib = max(mib, s.rss)
	}
	return mib
}

// timeTable has a row for each half a million of requests.
func timeTable(seen []instant) string {
	text := "**Time**, one node as fast as it answers\n\n| requests | memory: least, most |\n|---|---|\n"
	for len(seen) > 0 {
		row := seen[0].requests / every
		n := 1
		for n < len(seen) && seen[n].requests/every == row {
			n++
		}
		least := seen[0].rss
		for _, s := range seen[:n] {
			least = min(least, s.rss)
		}
		text += fmt.Sprintf("| %s to %s | %.1f, %.1f MiB |\n", grouped(seen[0].requests), grouped(seen[n-1].requests), least, mostMemory(seen[:n]))
		seen = seen[n:]
	}
	return text
}
