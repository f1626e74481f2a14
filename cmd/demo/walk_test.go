package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

var fences = regexp.MustCompile("(?ms)^```\n(.*?)^```")

// walk is a section of the documentation: what is typed before its blocks, by
// their numbers, and patterns of what these must print.
type walk struct {
	page, section string
	first, last   int
	typed         map[int][]string
	want          map[int][]string
}

// Every walk of the documentation works as it is written, but for the ports and
// directories, the make build it begins with, and fewer requests than a thousand.
func TestWalks(t *testing.T) {
	binary, err := harness.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const both = `(?s)\d+ 200.*\d+ 429`
	byAll := []string{"200 by node 1", "200 by node 2", "200 by node 3"} // a slow machine meets no limit of 200/s
	f := func(token string, w walk) {
		t.Run(fmt.Sprintf("%s/%d", filepath.Base(w.page), w.first), func(t *testing.T) {
			t.Setenv("ADMIN_TOKEN", token)
			begin(t).walk(w, string(binary))
		})
	}
	spared := []string{`503 in 0\.0\d+ s`, `"code":"upstream-open"`, `Retry-After: \d`}
	f("", walk{
		page: "README.md", section: "Ten minutes", last: 2,
		typed: map[int][]string{1: {"fail users"}, 2: {"heal users"}},
		want:  map[int][]string{0: byAll, 1: spared, 2: {`^gateway_cluster_config_versions 2`}},
	})
	f("", walk{
		page: "docs/limits.md", section: "A walk", last: 4,
		typed: map[int][]string{3: {"redis stop"}, 4: {"redis start"}},
		want: map[int][]string{
			0: {`Ratelimit: "ip";r=249`}, 1: byAll, 2: {`"allowed","limit_source":"(lease|redis|local)"`},
			3: append(byAll, `"status":"degraded"`), 4: {both},
		},
	})
	f("", walk{
		page: "docs/breakers.md", section: "A walk", last: 2,
		typed: map[int][]string{0: {"fail users"}, 2: {"heal users"}},
		want:  map[int][]string{0: spared, 1: {`"state": "open"`}, 2: {"breaker changed"}},
	})
	f("play-with-the-cluster", walk{
		page: "docs/breakers.md", section: "A walk", first: 3, last: 3,
		want: map[int][]string{3: {`"state": "open"`, `Retry-After: \d\d`, "upstream-open", `"state": "auto"`}},
	})
	f("", walk{
		page: "docs/authentication.md", section: "A walk", last: 4,
		want: map[int][]string{
			0: {"401 Unauthorized", `"X-User-Id":\["alice"\]`}, 1: {`error="invalid_token"`, `"error":`},
			2: {"403 Forbidden", "insufficient_scope"}, 3: {`"X-User-Id":\["key:example"\]`}, 4: {`(?s)\d+ 401.*\d+ 429`},
		},
	})
	f("play-with-the-cluster", walk{
		page: "docs/push.md", section: "A walk", first: 1, last: 4,
		want: map[int][]string{
			1: {"committed: all members", "> .*rps: 20, burst: 25", both},
			2: {`rps: must be at least 1, got 0\n +\d+ \| `, "refused: nobody switched"},
			3: {"config_versions 2", "runs .*, the push is based on"},
			4: {"committed: all members", `"outcome": "refused"`},
		},
	})
}

// walk runs the blocks in one shell each, as in one terminal: what an earlier one
// set stays.
func (p *play) walk(w walk, binary string) {
	p.t.Helper()
	_, text, found := strings.Cut(p.read(filepath.Join("../..", w.page)), "\n## "+w.section+"\n")
	if !found {
		p.t.Fatalf("%s has no section %q", w.page, w.section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	blocks := fences.FindAllStringSubmatch(text, -1)
	if len(blocks) <= w.last {
		p.t.Fatalf("%s has %d blocks, want more than %d", w.page, len(blocks), w.last)
	}
	said := ""
	for i := w.first; i <= w.last; i++ {
		for _, command := range w.typed[i] {
			p.enter(command, "  "+map[string]string{
				"fail users": "upstream users answers 503", "heal users": "upstream users is well",
				"redis stop": "redis is stopped", "redis start": "redis back",
			}[command])
		}
		said += blocks[i][1]
		out := p.shell(said, blocks[i][1], binary)
		for _, want := range w.want[i] {
			if !regexp.MustCompile(`(?m)` + want).MatchString(out) {
				p.t.Errorf("block %d:\n%sprinted\n%s, want %s in it", i, blocks[i][1], out, want)
			}
		}
	}
}

// shell runs a block here instead of where it was written for. Variables that
// earlier blocks set are set again.
func (p *play) shell(said, block, binary string) string {
	p.t.Helper()
	set := strings.Join(regexp.MustCompile(`(?m)^export .*$`).FindAllString(strings.TrimSuffix(said, block), -1), "\n")
	original := filepath.Join(p.dir, "original.yaml")
	p.write(original, p.read("../../config.yaml"))
	cmd := exec.CommandContext(p.t.Context(), "bash", "-c", p.here(set+"\n"+block, binary, original))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "ADMIN_TOKEN=" + os.Getenv("ADMIN_TOKEN")}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return string(out)
}

// here replaces the addresses and places of make run by those of this test.
func (p *play) here(script, binary, original string) string {
	var pairs []string
	for i, node := range regexp.MustCompile(`node \d +http://(\S+) +cluster page http://([^/\s]+)`).FindAllStringSubmatch(p.screen.String(), -1) {
		pairs = append(pairs, fmt.Sprintf("127.0.0.1:808%d", i+1), node[1], fmt.Sprintf("127.0.0.1:990%d", i+1), node[2])
	}
	if len(pairs) != 12 {
		p.t.Fatalf("no three nodes in\n%s", p.screen)
	}
	pairs = append(pairs,
		"http://127.0.0.1:8080", p.front, "127.0.0.1:9001", strings.TrimPrefix(p.find(`users +(http://\S+)`), "http://"),
		"git checkout config.yaml", "cp "+original+" "+p.config,
		"bin/gateway -push", binary+" -to "+pairs[3]+" -push", "bin/gateway", binary,
		"[1-1000]", "[1-300]", " bin/demo/", " "+p.dir+"/", " bin/", " "+p.dir+"/", "config.yaml", p.config,
	)
	return strings.NewReplacer(pairs...).Replace(script)
}
