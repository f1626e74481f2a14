package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// errQuit ends the demo.
var errQuit = errors.New("quit")

// obey does what is typed until ctx ends or somebody types quit. The end of in
// ends the typing alone: in a pipeline nobody types.
func (d *demo) obey(ctx context.Context, in io.Reader) {
	lines := read(ctx, in)
	for {
		select {
		case <-ctx.Done():
			d.say("stopping")
			return
		case line, typed := <-lines:
			if !typed {
				lines = nil
				continue
			}
			if errors.Is(d.execute(ctx, strings.Fields(line)), errQuit) {
				d.say("stopping")
				return
			}
		}
	}
}

// read is the one goroutine nobody waits for: a terminal's read cannot be
// interrupted, so it ends with the line being typed, or with the process.
func read(ctx context.Context, in io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

// execute answers every command with one line, or a few. It returns errQuit or
// nil.
func (d *demo) execute(ctx context.Context, words []string) error {
	if len(words) == 0 {
		return nil
	}
	said, err := d.command(ctx, words)
	switch {
	case errors.Is(err, errQuit):
		return err
	case err != nil:
		d.say("%v", err)
	default:
		d.say("%s", said)
	}
	return nil
}

// command returns what to say.
func (d *demo) command(ctx context.Context, words []string) (string, error) {
	object := strings.Join(words[1:], " ")
	switch words[0] {
	case "redis":
		return d.switchRedis(object)
	case "kill":
		return d.kill(object)
	case "start":
		return d.bringBack(ctx, object)
	case "fail":
		return d.fail(object)
	case "heal":
		return d.heal(object)
	case "status":
		return d.status(ctx), nil
	case "help":
		return commands, nil
	case "quit", "exit":
		return "", errQuit
	}
	return "", fmt.Errorf("unknown command %q; help lists all", strings.Join(words, " "))
}

func (d *demo) switchRedis(to string) (string, error) {
	switch to {
	case "stop":
		return "redis is stopped; the nodes notice with the next requests", d.redis.stop()
	case "start":
		return "redis is back on " + d.redis.addr, d.redis.start()
	}
	return "", fmt.Errorf("redis: must be stop or start, got %q", to)
}

func (d *demo) member(text string) (*member, error) {
	number, err := strconv.Atoi(text)
	if err != nil || number < 1 || number > len(d.members) {
		return nil, fmt.Errorf("node: must be from 1 to %d, got %q", len(d.members), text)
	}
	return d.members[number-1], nil
}

func (d *demo) kill(object string) (string, error) {
	m, err := d.member(object)
	if err != nil {
		return "", err
	}
	err = m.kill()
	return fmt.Sprintf("node %d is gone: the front passes it over, %d left", m.number, len(d.running())), err
}

func (d *demo) bringBack(ctx context.Context, object string) (string, error) {
	m, err := d.member(object)
	if err != nil {
		return "", err
	}
	if err := d.startNode(m); err != nil {
		return "", err
	}
	err = d.waitForCluster(ctx)
	return fmt.Sprintf("node %d is back on http://%s, a member of %d", m.number, m.at.data, len(d.running())), err
}

func (d *demo) upstream(name string) (*upstream, error) {
	for _, u := range []*upstream{d.users, d.public} {
		if u.name == name {
			return u, nil
		}
	}
	return nil, fmt.Errorf("upstream: must be users or public, got %q", name)
}

func (d *demo) fail(object string) (string, error) {
	u, err := d.upstream(object)
	if err != nil {
		return "", err
	}
	return "upstream " + u.name + " answers 503: a few requests to it open its breaker", u.fail()
}

func (d *demo) heal(object string) (string, error) {
	u, err := d.upstream(object)
	if err != nil {
		return "", err
	}
	return "upstream " + u.name + " is well: a request tries it within some five seconds", u.heal()
}
