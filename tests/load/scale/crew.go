package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
	"github.com/go-api-gateway-pro/gateway/tests/load/stage"
)

const patience = 20 * time.Second

// crew is the nodes of a trial, and what it needs of clients.
type crew struct {
	b      *bench
	trial  trial
	addrs  []string
	pids   []int
	held   []net.Conn
	tokens tokens
	next   int // request
}

// startCrew returns when all nodes see each other and use Redis.
func (b *bench) startCrew(ctx context.Context, t trial) (*crew, error) {
	c := &crew{b: b, trial: t, tokens: newTokens(time.Now())}
	var join string
	for i := range t.nodes {
		gossip, err := c.startNode(ctx, i, join)
		if err != nil {
			c.stop()
			return nil, fmt.Errorf("cannot start node %d: %w", i+1, err)
		}
		if join == "" {
			join = gossip
		}
	}
	for _, addr := range c.addrs {
		if err := await(ctx, addr, t.nodes); err != nil {
			c.stop()
			return nil, err
		}
	}
	return c, nil
}

func (c *crew) startNode(ctx context.Context, i int, join string) (gossip string, err error) {
	addr, err1 := stage.FreeAddress()
	gossip, err2 := stage.FreeAddress()
	if err := errors.Join(err1, err2); err != nil {
		return "", err
	}
	settings := nodeConfig(c.trial, wiring{addr: addr, gossip: gossip, join: join, redis: c.b.Redis, upstream: c.b.Upstream})
	command, err := c.b.Gateway(ctx, fmt.Sprintf("node-%d", i+1), settings)
	if err != nil {
		return "", err
	}
	pid, err := c.b.Launch(ctx, stage.ProxyCore, addr, command...)
	if err != nil {
		return "", err
	}
	c.addrs, c.pids = append(c.addrs, addr), append(c.pids, pid)
	return gossip, nil
}

func (c *crew) stop() {
	for _, conn := range c.held {
		_ = conn.Close()
	}
	for _, pid := range c.pids {
		c.b.Kill(pid)
	}
}

// await asks a node until it has found the others and Redis.
func await(ctx context.Context, addr string, nodes int) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		page, err := scrape(ctx, addr)
		m := harness.ParseMetrics(page)
		if err == nil && m.Sum("gateway_cluster_members") == float64(nodes) && m.Sum("gateway_limiter_mode", `mode="redis"`) == 1 {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return errors.Join(fmt.Errorf("%s is not one of %d members with Redis after %s", addr, nodes, patience), err, ctx.Err())
		}
	}
}

// scrape asks for the metrics page.
func scrape(ctx context.Context, addr string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// hold opens connections to the first node, each of which is used once.
func (c *crew) hold(ctx context.Context, n int) error {
	request := string(c.append(nil, 0))
	r := bufio.NewReader(nil)
	for range n {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.addrs[0])
		if err != nil {
			return err
		}
		c.held = append(c.held, conn)
		if _, err := io.Copy(conn, strings.NewReader(request)); err != nil {
			return err
		}
		r.Reset(conn)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			return errors.Join(fmt.Errorf("answer %s", resp.Status), err)
		}
	}
	return nil
}

// introduce lets each user and each route be seen once, and at least a second of
// requests pass, at full speed.
func (c *crew) introduce(ctx context.Context) error {
	_, err := c.load(max(steady, c.trial.users, c.trial.routes), 0).Run(ctx)
	return err
}

// load continues where the one before has ended: users and routes go on taking turns.
func (c *crew) load(requests int, rate float64) *stage.Load {
	first := c.next
	c.next += requests
	return &stage.Load{
		Addrs: c.addrs, Connections: connections, Requests: requests, Rate: rate,
		Append: func(b []byte, i int) []byte { return c.append(b, first+i) },
	}
}

// append writes the i-th request: users and routes take turns.
func (c *crew) append(b []byte, i int) []byte {
	b = fmt.Appendf(b, "GET /route/%d/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ", i%c.trial.routes)
	b = c.tokens.append(b, i%c.trial.users)
	return append(b, "\r\n\r\n"...)
}

// used is the processor time of all nodes together, and what Redis did.
func (c *crew) used(ctx context.Context) (cpu time.Duration, redis stage.RedisUse, err error) {
	for _, pid := range c.pids {
		one, err := stage.CPUTime(pid)
		if err != nil {
			return 0, redis, err
		}
		cpu += one
	}
	redis, err = c.b.RedisUse(ctx)
	return cpu, redis, err
}

// memory is that of one node: the mean.
func (c *crew) memory() (mib float64, err error) {
	for _, pid := range c.pids {
		one, err := stage.ResidentMiB(pid)
		if err != nil {
			return 0, err
		}
		mib += one / float64(len(c.pids))
	}
	return mib, nil
}
