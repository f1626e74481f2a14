package proxy

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// checkAtOnce bounds the health checks under way, of all upstreams together.
	checkAtOnce = 32
	// So many checks in a row must say so before an endpoint is taken out, or
	// taken back: one lost packet is no illness.
	checksToTurn = 2
)

// checkUp asks all endpoints whether they are well, until ctx ends. The first
// round comes after a random part of the interval and the others drift, so that
// the nodes of a cluster do not ask in step.
func (t *target) checkUp(ctx context.Context, s settings) {
	interval := time.Duration(s.check.IntervalMS) * time.Millisecond
	random := t.b.options.Rand
	timer := time.NewTimer(time.Duration(random() * float64(interval)))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		t.checkAll(ctx, s)
		timer.Reset(time.Duration((0.9 + 0.2*random()) * float64(interval)))
	}
}

// checkAll makes one round and waits for it.
func (t *target) checkAll(ctx context.Context, s settings) {
	var round sync.WaitGroup
	defer round.Wait()
	for _, e := range *t.list.Load() {
		select {
		case t.b.checks <- struct{}{}:
		case <-ctx.Done():
			return
		}
		round.Go(func() {
			err := e.check(ctx, s)
			<-t.b.checks
			t.heed(ctx, e, err)
		})
	}
}

// check makes one request on a connection of its own, so that it also tells
// whether new connections are accepted.
func (e *endpoint) check(ctx context.Context, s settings) error {
	timeout := time.Duration(s.check.TimeoutMS) * time.Millisecond
	deadline := time.Now().Add(timeout)
	conn, err := e.dial(e.addr, timeout)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	if err := conn.SetDeadline(deadline); err != nil {
		return fmt.Errorf("cannot check %s: %w", e.addr, err)
	}
	status, err := ask(conn, s.authority, s.check.Path)
	if err != nil {
		return fmt.Errorf("cannot check %s: %w", e.addr, err)
	}
	if status < 200 || status > 399 {
		return fmt.Errorf("cannot call %s healthy: status %d", e.addr, status)
	}
	return nil
}

func ask(conn net.Conn, host, path string) (status int, err error) {
	request := "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: gateway-health-check\r\nConnection: close\r\n\r\n"
	if _, err := conn.Write([]byte(request)); err != nil {
		return 0, err
	}
	var head fasthttp.ResponseHeader
	if err := head.Read(bufio.NewReaderSize(conn, bufferSize)); err != nil {
		return 0, unreadable(err).err
	}
	return head.StatusCode(), nil
}

// heed counts the result of a check, unless the checks have been called off.
func (t *target) heed(ctx context.Context, e *endpoint, result error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	t.metrics.check(result == nil)
	defer t.tellLocked(e)
	if (result != nil) == e.sick.Load() {
		e.streak = 0
		return
	}
	if e.streak++; e.streak < checksToTurn {
		return
	}
	e.judge(result == nil)
	line := t.b.options.Log.Info()
	if result != nil {
		line = t.b.options.Log.Warn().Err(result)
	}
	line.Str("backend", e.backend).Bool("healthy", result == nil).Msg("health checks turned")
}

// tellLocked passes the verdict on e to its breaker, and so to the other nodes.
// Where nobody is healthy all verdicts are withdrawn: then the checks are more
// likely to be wrong, and a breaker would stop what is tried in spite of them.
func (t *target) tellLocked(e *endpoint) {
	list := *t.list.Load()
	if slices.ContainsFunc(list, func(e *endpoint) bool { return !e.sick.Load() }) {
		e.breaker.Health(!e.sick.Load())
		return
	}
	for _, e := range list {
		e.breaker.Health(true)
	}
}

// judge is where the verdict of the health checks takes effect.
func (e *endpoint) judge(healthy bool) {
	e.streak = 0
	e.sick.Store(!healthy)
	gauge := e.target.b.metrics.healthy.WithLabelValues(e.backend)
	gauge.Set(0)
	if healthy {
		gauge.Set(1)
	}
}
