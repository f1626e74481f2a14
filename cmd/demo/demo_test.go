package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const patience = 30 * time.Second // for what takes a moment

// screen is what has been printed.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// play is a running demo with a keyboard.
type play struct {
	t      *testing.T
	keys   *io.PipeWriter
	screen *screen
	end    context.CancelFunc
	code   chan int
	front  string
	token  string
}

func begin(t *testing.T) *play {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir()) // for the log file
	ctx, end := context.WithCancel(t.Context())
	in, keys := io.Pipe()
	p := &play{t: t, keys: keys, screen: &screen{}, end: end, code: make(chan int, 1)}
	ports := harness.Ports(t, 10) // nodes and Redis come back on theirs
	args := strings.Fields(fmt.Sprintf("-port 0 -upstream-port 0 -node-port %d -admin-port %d -gossip-port %d -redis-port %d -config ../../config.yaml",
		ports[0], ports[3], ports[6], ports[9]))
	go func() { p.code <- run(ctx, args, terminal{in, p.screen, p.screen}) }()
	t.Cleanup(end)
	p.await("Type here")
	p.front = p.find(`front +(http://\S+)`)
	p.token = p.find(`export TOKEN=(\S+)`)
	return p
}

func (p *play) find(pattern string) string {
	p.t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(p.screen.String())
	if m == nil {
		p.t.Fatalf("nothing like %s in\n%s", pattern, p.screen)
	}
	return m[1]
}

// await waits until text has been printed.
func (p *play) await(text string) {
	p.t.Helper()
	p.until("printed: "+text, func() bool { return strings.Contains(p.screen.String(), text) })
}

func (p *play) until(what string, done func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("not within %s: %s; screen:\n%s", patience, what, p.screen)
		}
	}
}

func (p *play) enter(command, answer string) {
	p.t.Helper()
	if _, err := io.WriteString(p.keys, command+"\n"); err != nil {
		p.t.Fatal(err)
	}
	p.await(answer)
}

// get returns the status and the number of the node that answered.
func (p *play) get(path, token string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.front+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get(nodeHeader)
}

func (p *play) wants(path, token string, want int) {
	p.t.Helper()
	if got, at := p.get(path, token); got != want {
		p.t.Errorf("GET %s: got status %d from node %s, want %d", path, got, at, want)
	}
}

// flood asks from many sides at once until a limit is met, and fails on
// anything but 200 and 429.
func (p *play) flood() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for ctx.Err() == nil {
				switch status, at := p.get("/api/public/flood", ""); status {
				case http.StatusOK:
				case http.StatusTooManyRequests:
					cancel()
				default:
					p.t.Errorf("flood: got status %d from node %s", status, at)
					cancel()
				}
			}
		})
	}
	all.Wait()
	if ctx.Err() != context.Canceled {
		p.t.Errorf("flood: no 429 within %s", patience)
	}
}

// answers asks 12 times, 4 for each node, and wants no fault.
func (p *play) answers() (nodes map[string]bool) {
	p.t.Helper()
	nodes = map[string]bool{}
	for range 12 {
		status, at := p.get("/api/users/1", p.token)
		if status != http.StatusOK {
			p.t.Errorf("got status %d from node %s, want 200", status, at)
		}
		nodes[at] = true
	}
	return nodes
}

func TestDemo(t *testing.T) {
	p := begin(t)
	for _, line := range []string{
		"curl -i " + p.front + "/api/public/hello",
		"curl -i " + p.front + "/api/users/42",
		`curl -i -H "Authorization: Bearer $TOKEN" ` + p.front + "/api/users/42",
		`curl -s -o /dev/null -w '%{http_code}\n' '` + p.front + `/api/public/[1-1000]' | sort | uniq -c`,
	} {
		if !strings.Contains(p.screen.String(), "\n"+line+"\n") {
			t.Errorf("no line to paste: %s", line)
		}
	}

	p.wants("/api/public/hello", "", 200)
	p.wants("/api/users/42", "", 401)
	p.wants("/api/users/42", p.token, 200)
	if nodes := p.answers(); len(nodes) != 3 {
		t.Errorf("got answers from nodes %v, want 3", nodes)
	}
	p.flood()

	p.enter("redis stop", "redis is stopped:")
	p.answers()
	p.flood()
	p.enter("redis start", "redis is back")
	p.answers()

	p.enter("kill 2", "node 2 is gone")
	if nodes := p.answers(); nodes["2"] || len(nodes) != 2 {
		t.Errorf("got answers from nodes %v, want 1 and 3", nodes)
	}
	p.enter("start 2", "a member of 3")
	if nodes := p.answers(); !nodes["2"] {
		t.Errorf("got answers from nodes %v, want 2 among them", nodes)
	}

	p.enter("fail public", "upstream public answers 503")
	p.until("public fails", func() bool { status, _ := p.get("/api/public/x", ""); return status == 503 })
	p.enter("status", "failing")
	p.enter("heal public", "upstream public is well")
	p.until("public is well", func() bool { status, _ := p.get("/api/public/x", ""); return status == 200 })

	// The end of standard input ends nothing.
	if err := p.keys.Close(); err != nil {
		t.Fatal(err)
	}
	p.wants("/api/users/42", p.token, 200)
	p.end()
	if code := <-p.code; code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
	if conn, err := net.Dial("tcp", strings.TrimPrefix(p.front, "http://")); err == nil {
		conn.Close()
		t.Error("the front still listens after the end")
	}
}

func TestWrongCommands(t *testing.T) {
	p := begin(t)
	p.enter("dance", `unknown command "dance"`)
	p.enter("kill 9", `must be from 1 to 3, got "9"`)
	p.enter("start 1", "node 1 is running already")
	p.enter("redis", `must be stop or start, got ""`)
	p.enter("redis start", "redis is running already")
	p.enter("fail us", `must be users or public, got "us"`)
	p.enter("quit", "stopping")
	if code := <-p.code; code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
}

func TestTakenPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := l.Addr().String()
	args := "-config ../../config.yaml -node-port 0 -gossip-port 0 -upstream-port 0 -redis-port 0 -port " + port(at) + " -admin-port " + port(at)
	var out bytes.Buffer
	if code := run(t.Context(), strings.Fields(args), terminal{strings.NewReader(""), io.Discard, &out}); code != 1 {
		t.Errorf("got exit code %d, want 1", code)
	}
	for _, want := range []string{"-port", "-admin-port"} {
		if !strings.Contains(out.String(), at+" is taken; choose another with "+want+"\n") {
			t.Errorf("%s is not named in %q", want, out.String())
		}
	}
}

func TestMisuse(t *testing.T) {
	f := func(args string, wantCode int, want string) {
		t.Helper()
		var out bytes.Buffer
		code := run(t.Context(), strings.Fields(args), terminal{strings.NewReader(""), io.Discard, &out})
		if code != wantCode || !strings.Contains(out.String(), want) {
			t.Errorf("%s: got code %d and %q, want %d and %q", args, code, out.String(), wantCode, want)
		}
	}
	f("-help", 0, "-node-port")
	f("-nope", 2, "-nope")
	f("stray", 2, `"stray"`)
	f("-nodes 0", 2, "-nodes: must be from 1 to 9, got 0")
	f("-port 70000", 2, "-port: must be from 0 to 65535, got 70000")
	f("-config nowhere.yaml", 1, "cannot find nowhere.yaml")
}
