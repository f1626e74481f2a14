package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-api-gateway-pro/gateway/node"
	"github.com/go-api-gateway-pro/gateway/node/term"
)

const (
	formTimeout = 10 * time.Second      // for nodes to find each other
	lookEvery   = 20 * time.Millisecond // while waiting for that
)

// demo is the running cluster. Its methods are for one goroutine, except say
// and what the front does.
type demo struct {
	opts    options
	at      addresses
	log     io.Writer // of the nodes; whole lines, from many goroutines
	logName string
	style   term.Style
	files   files
	client  http.Client

	redis         *store
	users, public *upstream
	members       []*member

	closers []func() // run in reverse

	talk sync.Mutex // guards out
	out  io.Writer
}

// start brings everything up in the order in which it depends on each other,
// and returns when all nodes know all others. If something fails, what stands
// already is taken down again.
func start(ctx context.Context, opts options, t terminal) (*demo, error) {
	d := &demo{opts: opts, out: t.out, style: term.For(t.out, os.LookupEnv), files: files{seed: opts.config, dir: opts.dir}}
	if err := d.open(ctx, t.err); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *demo) open(ctx context.Context, stderr io.Writer) (err error) {
	if d.at, err = d.prepare(); err != nil {
		return err
	}
	if err := d.files.create(len(d.at.nodes)); err != nil {
		return err
	}
	if err := d.openLog(stderr); err != nil {
		return err
	}
	if d.redis, err = startStore(d.at.redis); err != nil {
		return err
	}
	d.onClose(func() { _ = d.redis.stop() }) // it may be stopped already
	if d.users, err = d.startUpstream("users", d.at.users); err != nil {
		return err
	}
	if d.public, err = d.startUpstream("public", d.at.public); err != nil {
		return err
	}
	if err := d.startNodes(ctx); err != nil {
		return err
	}
	return d.startFront()
}

// prepare finds what would keep the demo from starting: a missing configuration
// and taken ports.
func (d *demo) prepare() (addresses, error) {
	if _, err := os.Stat(d.opts.config); errors.Is(err, fs.ErrNotExist) {
		return addresses{}, fmt.Errorf("cannot find %s: run the demo in the repository's root or choose a file with -config", d.opts.config)
	}
	return d.opts.plan()
}

func (d *demo) openLog(stderr io.Writer) error {
	if d.opts.verbose {
		d.log, d.logName = stderr, "here, on standard error"
		return nil
	}
	f, err := os.Create(filepath.Join(d.opts.dir, "demo.log"))
	if err != nil {
		return fmt.Errorf("cannot create the log file: %w", err)
	}
	d.onClose(func() { _ = f.Close() })
	d.log, d.logName = logFile{f}, f.Name()
	return nil
}

// logFile takes what is written after its end, and drops it: a gossip probe may
// outlive its node by a moment.
type logFile struct{ *os.File }

func (l logFile) Write(line []byte) (int, error) {
	n, err := l.File.Write(line)
	if errors.Is(err, os.ErrClosed) {
		return len(line), nil
	}
	return n, err
}

func (d *demo) startUpstream(name, addr string) (*upstream, error) {
	u, err := startUpstream(name, addr, d.log)
	if err == nil {
		d.onClose(u.close)
	}
	return u, err
}

// startNodes returns when they are a cluster.
func (d *demo) startNodes(ctx context.Context) error {
	for i, at := range d.at.nodes {
		d.members = append(d.members, &member{number: i + 1, at: at})
	}
	d.onClose(d.stopNodes)
	for _, m := range d.members {
		if err := d.startNode(m); err != nil {
			return err
		}
	}
	return d.waitForCluster(ctx)
}

func (d *demo) startNode(m *member) error {
	opts := node.Options{Path: d.files.of(m.number), Lookup: d.environment(m), Log: d.log, Version: "demo"}
	return m.start(opts, func(err error) { d.say("%s node %d by itself: %v", d.style.Bad("stopped"), m.number, err) })
}

// stopNodes takes no longer than the slowest.
func (d *demo) stopNodes() {
	var all sync.WaitGroup
	for _, m := range d.members {
		all.Go(func() { _ = m.kill() }) // it may be dead already
	}
	all.Wait()
	d.client.CloseIdleConnections()
}

// waitForCluster returns when every running node counts all running nodes.
func (d *demo) waitForCluster(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, formTimeout,
		fmt.Errorf("the nodes did not find each other within %s, see %s", formTimeout, d.logName))
	defer cancel()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for !d.formed(ctx) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	return nil
}

func (d *demo) formed(ctx context.Context) bool {
	running := d.running()
	for _, m := range running {
		if v, err := d.look(ctx, m); err != nil || len(v.Members) != len(running) {
			return false
		}
	}
	return true
}

func (d *demo) running() []*member {
	return slices.DeleteFunc(slices.Clone(d.members), func(m *member) bool { return !m.running() })
}

func (d *demo) startFront() error {
	var nodes []string
	for _, at := range d.at.nodes {
		nodes = append(nodes, at.data)
	}
	f := newFront(nodes)
	w, err := serve(d.at.front, f.handler(d.log), d.log)
	if err != nil {
		return fmt.Errorf("cannot start the front: %w", err)
	}
	d.onClose(func() { w.close(); f.transport.CloseIdleConnections() })
	return nil
}

func (d *demo) onClose(f func()) { d.closers = append(d.closers, f) }

// close stops everything, the last started first, and waits for it.
func (d *demo) close() {
	for _, f := range slices.Backward(d.closers) {
		f()
	}
	d.closers = nil
}

// say writes one line. It may be called concurrently.
func (d *demo) say(format string, args ...any) {
	d.talk.Lock()
	defer d.talk.Unlock()
	fmt.Fprintf(d.out, d.style.Dim(time.Now().Format("15:04:05"))+"  "+format+"\n", args...)
}
