package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const patience = 30 * time.Second // for what takes a moment

// play is a running demo with a keyboard.
type play struct {
	t      *testing.T
	keys   *io.PipeWriter
	screen *harness.Buffer
	end    context.CancelFunc
	code   chan int
	front  string
	token  string
	dir    string // of the nodes' files
	config string // what they are copies of
}

func (p *play) read(path string) string {
	p.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

func (p *play) write(path, text string) {
	p.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func begin(t *testing.T) *play {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	in, keys := io.Pipe()
	p := &play{t: t, keys: keys, screen: &harness.Buffer{}, end: end, code: make(chan int, 1), dir: t.TempDir()}
	p.config = filepath.Join(p.dir, "config.yaml")
	p.write(p.config, p.read("../../config.yaml"))
	ports := harness.Ports(t, 10) // nodes and Redis come back on theirs
	args := strings.Fields(fmt.Sprintf("-port 0 -upstream-port 0 -node-port %d -admin-port %d -gossip-port %d -redis-port %d -config %s -dir %s",
		ports[0], ports[3], ports[6], ports[9], p.config, p.dir))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.code <- run(ctx, args, terminal{in, p.screen, p.screen})
	}()
	t.Cleanup(func() { end(); <-ended })
	p.await("Type here")
	p.front = p.find(`front +(http://\S+)`)
	p.token = strings.TrimSpace(p.read(p.find(`export TOKEN=\$\(cat (\S+)\)`)))
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
		`curl -s -o /dev/null -w '%{http_code}\n' \` + "\n" + `  '` + p.front + `/api/public/[1-1000]' | sort | uniq -c`,
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

	p.enter("redis stop", "redis is stopped")
	p.await("redis lost         node")
	p.answers()
	p.flood()
	p.enter("redis start", "redis is back")
	p.await("redis back         node")
	p.answers()

	p.enter("kill 2", "node 2 is gone")
	p.await("member left        node 2, now 2 members")
	if nodes := p.answers(); nodes["2"] || len(nodes) != 2 {
		t.Errorf("got answers from nodes %v, want 1 and 3", nodes)
	}
	p.enter("start 2", "a member of 3")
	p.await("member joined      node 2, now 3 members")
	if nodes := p.answers(); !nodes["2"] {
		t.Errorf("got answers from nodes %v, want 2 among them", nodes)
	}

	p.enter("fail users", "upstream users answers 503")
	p.until("a breaker is open", func() bool {
		status, _ := p.get("/api/users/1", p.token)
		return status == 503 && strings.Contains(p.screen.String(), "breaker open ")
	})
	p.enter("status", "failing")
	p.enter("heal users", "upstream users is well")
	p.until("the breaker is closed", func() bool {
		status, _ := p.get("/api/users/1", p.token)
		return status == 200 && strings.Contains(p.screen.String(), "breaker closed ")
	})

	p.drift()

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

// drift changes the file of one node, then that of all.
func (p *play) drift() {
	p.t.Helper()
	seed := p.read(p.config)
	changed := strings.Replace(seed, "rps: 200", "rps: 20", 1)
	own := filepath.Join(p.dir, "node-2.yaml")
	p.write(own, changed)
	p.await("config in effect   node 2: ")
	p.await("config drift       node 2: ")
	p.write(own, seed)
	p.await("drift over         nodes 1, 2, 3: ")

	p.write(p.config, changed)
	p.await("config in effect   nodes 1, 2, 3: ")
	p.write(p.config, strings.Replace(seed, "rps: 200", "rps: 0", 1))
	p.await("config refused     nodes 1, 2, 3: the old one goes on")
	p.await(".rps: must be at least 1, got 0 (line ")
}

// Everything printed at the start fits 80 columns, whatever the ports.
func TestIntroductionFits(t *testing.T) {
	p := begin(t)
	for line := range strings.Lines(strings.ReplaceAll(p.screen.String(), p.dir, "bin/demo")) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if strings.Contains(p.screen.String(), "\x1b") {
		t.Error("colours, though this is no terminal")
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
