package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/node"
	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const adminToken = "a-token-for-the-tests"

// crewLocal is each node's own part of its file, crewShared the cluster's.
// Routes and cors change together, so a mixture of two versions would show.
const crewLocal = `# node ${SELF}'s own
server: {host: 127.0.0.1, port: 0, drain_delay_ms: 0, drain_timeout_ms: 5000}
admin: {port: 0, token: "${TOKEN}"}
cluster: {bind: "${BIND}", join: ["${JOIN:-}"]}

`

func crewShared(version string) string {
	return `cors: {allow_origins: ["http://` + version + `.example"], allow_methods: [GET]}
routes:
  - {path: "/` + version + `", upstream: "${UPSTREAM}"}
  - {path: "/always", upstream: "${UPSTREAM}"}
`
}

// crew is some nodes that know each other, without Redis.
type crew struct {
	t        *testing.T
	nodes    []*member
	binds    []string
	upstream *httptest.Server
	path     func(i int) string
}

func startCrew(t *testing.T, size int) *crew {
	t.Helper()
	dir := t.TempDir()
	return startCrewIn(t, size, func(i int) string {
		own := filepath.Join(dir, fmt.Sprint(i))
		if err := os.MkdirAll(own, 0o700); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(own, "config.yaml")
	})
}

func startCrewIn(t *testing.T, size int, path func(i int) string) *crew {
	t.Helper()
	f := &crew{t: t, path: path}
	f.upstream = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}))
	t.Cleanup(f.upstream.Close)
	for _, port := range harness.Ports(t, size) {
		f.binds = append(f.binds, loopback(port))
	}
	for i := range size {
		if err := os.WriteFile(path(i), []byte(crewLocal+crewShared("old")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range size {
		f.nodes = append(f.nodes, f.start(i))
	}
	f.eventually("every node sees all", func() bool { return f.everyoneSees(size) })
	return f
}

// start runs node i on its file; it stops with the test at the latest.
func (f *crew) start(i int) *member {
	f.t.Helper()
	m := &member{logs: &harness.Buffer{}, stopped: make(chan struct{}), path: f.path(i)}
	env := map[string]string{
		"BIND": f.binds[i], "JOIN": f.binds[0], "UPSTREAM": f.upstream.URL, "TOKEN": adminToken, "SELF": fmt.Sprint(i),
	}
	var err error
	m.Node, err = node.New(node.Options{
		Path: m.path, Log: m.logs, Version: "test",
		Lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(f.t.Context())
	m.stop = stop
	go func() {
		defer close(m.stopped)
		if err := m.Run(ctx); err != nil {
			f.t.Errorf("node %d stopped with %v", i, err)
		}
	}()
	f.t.Cleanup(func() { stop(); <-m.stopped })
	return m
}

func (f *crew) halt(i int) {
	f.nodes[i].stop()
	<-f.nodes[i].stopped
}

// ask sends a request to a node's admin port and decodes the answer.
func (f *crew) ask(m *member, method, path, body string, answer any) int {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, "http://"+m.AdminAddr()+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		f.t.Fatal(err)
	}
	return resp.StatusCode
}

// pushed is the answer to a push.
type pushed struct {
	Push, Outcome, Hash, Error string
	TookMS                     int `json:"took_ms"`
	Version                    int
	Members                    []struct{ Name, Result, Error string }
}

func (p pushed) of(m *member) (result, reason string) {
	for _, x := range p.Members {
		if x.Name == m.Name() {
			return x.Result, x.Error
		}
	}
	return "", ""
}

func (f *crew) push(m *member, text string, wantStatus int) pushed {
	f.t.Helper()
	var p pushed
	if status := f.ask(m, "POST", "/cluster/config", text, &p); status != wantStatus {
		f.t.Errorf("status %d, want %d: %+v", status, wantStatus, p)
	}
	return p
}

type crewMember struct {
	Name   string
	Config struct {
		Hash     string
		LoadedAt time.Time `json:"loaded_at"`
	}
}

type crewView struct {
	Members []crewMember
	Pushes  []pushed
}

// all reports whether there are n members and each runs what ok accepts.
func (v crewView) all(n int, ok func(hash string) bool) bool {
	return len(v.Members) == n && !slices.ContainsFunc(v.Members, func(m crewMember) bool { return !ok(m.Config.Hash) })
}

func (f *crew) view(m *member) (v crewView) {
	f.t.Helper()
	f.ask(m, "GET", "/cluster", "", &v)
	return v
}

func (f *crew) everyoneSees(n int) bool {
	for _, m := range f.nodes {
		if !f.view(m).all(n, func(hash string) bool { return hash != "" }) {
			return false
		}
	}
	return true
}

func (f *crew) eventually(what string, ok func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			f.t.Fatalf("no %s within 60 s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// status of a request to a node's data port, and the CORS answer beside it.
func (f *crew) status(m *member, path, origin string) (int, string) {
	req, err := http.NewRequestWithContext(f.t.Context(), "GET", "http://"+m.Addr()+path, nil)
	if err != nil {
		f.t.Error(err)
		return 0, ""
	}
	req.Header.Set("Origin", origin)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Error(err)
		return 0, ""
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Access-Control-Allow-Origin")
}
