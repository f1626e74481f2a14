package node

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/cluster/push"
)

const pushed = `
# what is pushed
jwt: {secret: "${SECRET}"}
routes:
  - {path: "/pushed", upstream: "${UPSTREAM}"}
`

// prepare prepares text on a node as a push would.
func (n *testNode) prepare(text string) *prepared {
	n.t.Helper()
	c, err := n.tryPrepare(text)
	if err != nil {
		n.t.Fatal(err)
	}
	return c.(*prepared)
}

func (n *testNode) tryPrepare(text string) (push.Candidate, error) {
	target := pushTarget{n.Node}
	return target.Prepare(push.Plan{Push: "0123456789abcdef", Base: target.Running(), Text: []byte(text)})
}

func (n *testNode) file() string {
	n.t.Helper()
	text, err := os.ReadFile(n.path)
	if err != nil {
		n.t.Fatal(err)
	}
	return string(text)
}

// edit changes the file as an editor does, and waits for the node to look at it.
func (n *testNode) edit(change func(string) string) {
	n.t.Helper()
	if err := os.WriteFile(n.path, []byte(change(n.file())), 0o600); err != nil {
		n.t.Fatal(err)
	}
	if err := n.Reload(); err != nil {
		n.t.Fatal(err)
	}
}

func (n *testNode) temps() int { return len(tempFiles(n.path)) }

// A push replaces the shared sections, on disk and running, and nothing else.
func TestPushAlone(t *testing.T) {
	n := start(t, oneRoute)
	local, _, _ := strings.Cut(n.file(), "jwt:")
	r := n.push(t.Context(), []byte(pushed))
	if r.Outcome != push.Committed || len(r.Members) != 1 || r.Version != 2 || r.Hash != n.configStatus().Hash {
		t.Errorf("got %+v", r)
	}
	if n.do("GET", "/pushed").StatusCode != 200 || n.do("GET", "/v1").StatusCode != 404 {
		t.Error("the pushed routes do not run")
	}
	if want := local + strings.TrimPrefix(strings.Replace(pushed, "routes", "ROUTES", 1), "\n"); !strings.EqualFold(n.file(), want) {
		t.Errorf("the file is\n%s\nwant\n%s", n.file(), want)
	}
	if cfg, err := LoadConfig(n.path, n.lookup); err != nil || cfg.Hash() != r.Hash {
		t.Errorf("the file would not start as what runs: %v", err)
	}
	if n.temps() != 0 {
		t.Error("a temporary file is left")
	}
	if view := n.clusterView(); len(view.Pushes) != 1 || view.Pushes[0].Push != r.Push {
		t.Errorf("/cluster shows pushes %+v", view.Pushes)
	}
	metrics, _ := io.ReadAll(n.do("GET", "/metrics").Body)
	if !strings.Contains(string(metrics), `gateway_config_pushes_total{outcome="committed"} 1`) {
		t.Error("the push is not counted")
	}
}

// What is wrong is named, with the line of the pushed text, and nothing changes.
func TestPushRefused(t *testing.T) {
	n := start(t, oneRoute)
	file, running := n.file(), n.snapshot.Load()
	f := func(text, want string) {
		t.Helper()
		r := n.push(t.Context(), []byte(text))
		if r.Outcome != push.Refused || len(r.Members) != 1 || !strings.Contains(r.Members[0].Error, want) {
			t.Errorf("got %+v, want refused for %q", r, want)
		}
		if n.file() != file || n.snapshot.Load() != running || n.temps() != 0 || n.reloads.held != nil {
			t.Errorf("%q changed something", text)
		}
	}
	f(strings.Replace(pushed, "path: \"/pushed\"", "path: relative", 1), "routes[0].path: ")
	f(pushed+"    rate_limit: {rps: 0}", "cannot parse YAML")
	f(pushed+"cors: {max_age_s: -1}", "cors.max_age_s: must be between 0 and 86400, got -1 (line 6)")
	f(pushed+"admin: {port: 1}", "admin: belongs to each node: must be absent or equal to the node's own, differs in port")
	f(strings.Replace(pushed, "SECRET", "UNKNOWN", 1), "jwt.secret: environment variable UNKNOWN is not set")
	f("- a", "must be a section of keys")
	if err := os.Chmod(n.path, 0o400); err != nil {
		t.Fatal(err)
	}
	f(pushed, "is read-only")
}

func TestFileMountedAloneIsRefused(t *testing.T) {
	temp := filepath.Join(t.TempDir(), "temp")
	if err := notMounted("/proc/version", temp); err == nil || !strings.Contains(err.Error(), "mounted alone") {
		t.Errorf("a file of another mount: %v", err)
	}
	same := temp + ".same"
	if err := os.WriteFile(same, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := notMounted(same, temp); err != nil {
		t.Errorf("a file of the same mount: %v", err)
	}
	if left, _ := filepath.Glob(temp + ".probe"); len(left) > 0 {
		t.Error("the probe is left")
	}
}

// The file's rights are kept, a link to it stays one.
func TestPushThroughALink(t *testing.T) {
	n := start(t, oneRoute)
	real := filepath.Join(t.TempDir(), "real.yaml")
	if err := os.WriteFile(real, []byte(n.file()), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(n.path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, n.path); err != nil {
		t.Fatal(err)
	}
	if r := n.push(t.Context(), []byte(pushed)); r.Outcome != push.Committed {
		t.Fatalf("got %+v", r)
	}
	link, _ := os.Lstat(n.path)
	info, _ := os.Stat(real)
	if link.Mode()&os.ModeSymlink == 0 || info.Mode().Perm() != 0o640 || !strings.Contains(n.file(), "/pushed") {
		t.Errorf("link %s, file %s", link.Mode(), info.Mode())
	}
}

// While a push is prepared the file's changes wait; they are not lost.
func TestReloadWaitsForAPush(t *testing.T) {
	n := start(t, oneRoute)
	f := func(end func(c *prepared), path string) {
		t.Helper()
		c := n.prepare(pushed)
		before := n.snapshot.Load()
		n.edit(func(s string) string { return s + "  - {path: " + path + ", upstream: \"${UPSTREAM}\"}\n" })
		if n.snapshot.Load() != before {
			t.Errorf("%s took effect while a push was prepared", path)
		}
		end(c)
		if n.do("GET", path).StatusCode != 200 {
			t.Errorf("%s did not take effect afterwards", path)
		}
	}
	f((*prepared).Drop, "/after-drop")
	f((*prepared).Release, "/after-release")
	n.logs.wait(t, "the changed file waits for it")
}

// What happened to the node's own sections meanwhile is kept.
func TestCommitKeepsAnEditOfTheNodesSections(t *testing.T) {
	n := start(t, oneRoute)
	f := func(early func(*prepared), comment string) {
		t.Helper()
		c := n.prepare(pushed)
		early(c)
		n.edit(func(s string) string { return comment + "\n\n" + s })
		if err := c.Commit(); err != nil {
			t.Fatal(err)
		}
		if file := n.file(); !strings.HasPrefix(file, comment) || !strings.Contains(file, "/pushed") || n.do("GET", "/pushed").StatusCode != 200 {
			t.Errorf("%s: the file is\n%s", comment, file)
		}
		n.write(oneRoute)
		if err := n.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	f(func(*prepared) {}, "# while held")
	f((*prepared).Release, "# after the hold")
}

// A decided push wins over a file that was broken meanwhile.
func TestCommitOverABrokenFile(t *testing.T) {
	n := start(t, oneRoute)
	c := n.prepare(pushed)
	n.edit(func(string) string { return "routes: [" })
	if err := c.Commit(); err != nil {
		t.Fatal(err)
	}
	n.logs.wait(t, "its change is overwritten")
	if _, err := LoadConfig(n.path, n.lookup); err != nil || n.do("GET", "/pushed").StatusCode != 200 || n.temps() != 0 {
		t.Errorf("after the push: %v, %d temporary files", err, n.temps())
	}
}

// A node that runs something else by the time it hears of the decision stays.
func TestCommitOffBaseIsRefused(t *testing.T) {
	n := start(t, oneRoute)
	c := n.prepare(pushed)
	c.Release()
	n.edit(func(s string) string { return strings.ReplaceAll(s, "/v1", "/own") })
	file := n.file()
	if err := c.Commit(); err != push.ErrMoved { //nolint:errorlint // returned as it is
		t.Errorf("got %v, want %v", err, push.ErrMoved)
	}
	if n.file() != file || n.do("GET", "/own").StatusCode != 200 {
		t.Error("the node's own change is lost")
	}
}

// Temporary files may be cleaned up by others.
func TestCommitWithoutItsTemporaryFile(t *testing.T) {
	n := start(t, oneRoute)
	c := n.prepare(pushed)
	removeTemp(c.temp)
	if err := c.Commit(); err != nil || !strings.Contains(n.file(), "/pushed") {
		t.Errorf("got %v", err)
	}
}

// On a shared volume another node's commit replaces the file of this one too:
// that is the commit.
func TestFileOfAnotherNodeIsTheCommit(t *testing.T) {
	n := start(t, oneRoute)
	c := n.prepare(pushed)
	if err := os.WriteFile(n.path, c.text, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pushed route", func() bool { return n.do("GET", "/pushed").StatusCode == 200 })
	if err := c.Commit(); err != nil || n.configStatus().Version != 2 || n.temps() != 0 {
		t.Errorf("the decision: %v, version %d, %d temporary files", err, n.configStatus().Version, n.temps())
	}
}

// What was prepared survives the process.
func TestPreparedSurvivesARestart(t *testing.T) {
	n := start(t, oneRoute)
	c := n.prepare(pushed)
	old := filepath.Join(filepath.Dir(n.path), tempPrefix(n.path)+"aaaa-"+c.base+"-1")
	foreign := filepath.Join(filepath.Dir(n.path), tempPrefix(n.path)+"bbbb-otherbase-1")
	for _, path := range []string{old, foreign} {
		if err := os.WriteFile(path, []byte(pushed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	again, err := New(Options{Path: n.path, Log: io.Discard, Lookup: n.lookup})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.stop() }()
	close(again.served) // it never served
	left := again.leftover()
	if left == nil || left.Push != "0123456789abcdef" || left.Base != c.base || left.Candidate.Hash() != c.hash {
		t.Fatalf("found %+v", left)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("a file of two hours ago is left")
	}
	if err := left.Candidate.Commit(); err != nil || again.snapshot.Load().config.Hash() != c.hash || !strings.Contains(n.file(), "/pushed") {
		t.Errorf("committing it: %v", err)
	}
}

// Neither temporary files nor a prepared push that was dropped leave traces.
func TestDropForgetsWhatWasPrepared(t *testing.T) {
	n := start(t, oneRoute)
	c := n.prepare("routes: [{path: /x, upstream: \"http://127.0.0.1:9\"}]")
	if len(n.backends.Breakers()) != 2 {
		t.Fatalf("backends %+v, want the old and the prepared", n.backends.Breakers())
	}
	c.Drop()
	if got := n.backends.Breakers(); len(got) != 1 || n.temps() != 0 {
		t.Errorf("backends %+v, %d temporary files", got, n.temps())
	}
}

func TestPushFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new.yaml")
	if err := os.WriteFile(path, []byte(pushed), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(status int, answer string, code int, want string) {
		t.Helper()
		node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if string(body) != pushed || r.Method+r.URL.Path+r.Header.Get("Authorization") != "POST/cluster/configBearer token" {
				t.Errorf("asked %s %s %q", r.Method, r.URL.Path, body)
			}
			if strings.HasPrefix(answer, "{") {
				w.Header().Set("Content-Type", "application/json")
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, answer)
		}))
		defer node.Close()
		var out strings.Builder
		got, err := PushFile(&out, path, strings.TrimPrefix(node.URL, "http://"), "token")
		if err != nil {
			out.WriteString(err.Error())
		}
		if got != code || !strings.Contains(out.String(), want) {
			t.Errorf("%s: code %d, want %d\n%s\nwant %s", answer, got, code, out.String(), want)
		}
	}
	members := `"members":[{"name":"a","result":"committed"},{"name":"long","result":"refused","error":"routes[0]: x\nroutes[1]: y"}]`
	f(200, `{"outcome":"committed","hash":"abc","took_ms":7,`+members+`}`, 0, "committed: all members run abc, in 7 ms\n  a     committed\n")
	f(409, `{"outcome":"refused",`+members+`}`, 1, "refused: nobody switched\n  a     committed\n  long  refused      routes[0]: x\n                     routes[1]: y\n")
	f(409, `{"outcome":"refused","error":"busy: twice"}`, 1, "busy: twice\n")
	f(202, `{"outcome":"partial","hash":"abc",`+members+`}`, 2, "partial: abc is decided, but not confirmed by all")
	f(401, "admin token required", 1, "answered 401 Unauthorized: admin token required")
	f(200, "{", 2, "the outcome is unknown")
	if code, err := PushFile(io.Discard, path, "127.0.0.1:1", ""); code != 1 || err == nil {
		t.Errorf("a node that is not there: %d, %v", code, err)
	}
	if code, err := PushFile(io.Discard, path+".missing", "127.0.0.1:1", ""); code != 1 || err == nil {
		t.Errorf("a file that is not there: %d, %v", code, err)
	}
}
