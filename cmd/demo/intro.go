package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-api-gateway-pro/gateway/node"
)

// tokenUser is who the printed token belongs to.
const tokenUser = "alice"

const commands = `Type here to play faults:
  redis stop | redis start       the Redis that holds the limits
  kill 2     | start 2           a node
  fail users | heal users        an upstream; also public
  status     | help | quit       or Ctrl-C`

// introduce prints the addresses and the lines to paste, within 80 columns. A
// line to paste stands alone, and above it what to expect: comments would not do,
// since not every shell takes them typed.
func (d *demo) introduce(out io.Writer) error {
	token, err := d.writeToken()
	if err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "\n%s\n\n", d.style.Bold("A gateway cluster in one process"))
	d.table(&text)
	front := "http://" + d.at.front
	for _, try := range [][]string{
		{"200, a public route; X-Demo-Node tells which node answered", "curl -i " + front + "/api/public/hello"},
		{"401, a route that wants to know you", "curl -i " + front + "/api/users/42"},
		{
			"200, with a token; the upstream sees you as X-User-ID", "export TOKEN=$(cat " + token + ")",
			`curl -i -H "Authorization: Bearer $TOKEN" ` + front + "/api/users/42",
		},
		{
			"200 and 429: 250 requests, then 200 a second, on all nodes together", "curl -s -o /dev/null -w '%{http_code}\\n' \\",
			"  '" + front + "/api/public/[1-1000]' | sort | uniq -c",
		},
	} {
		fmt.Fprintf(&text, "%s\n%s\n\n", d.style.Dim(try[0]), strings.Join(try[1:], "\n"))
	}
	text.WriteString(commands + "\n\nWhat happens in the cluster:\n")
	d.talk.Lock()
	defer d.talk.Unlock()
	_, err = io.WriteString(out, text.String())
	return err
}

// table is where everything is.
func (d *demo) table(w io.Writer) {
	row := func(name, at, what string) {
		fmt.Fprintf(w, "  %-10s %s  %s\n", name, d.style.Link(fmt.Sprintf("%-22s", at)), what)
	}
	row("front", "http://"+d.at.front, "the nodes in turn; Swagger UI at /docs")
	page := "/"
	if os.Getenv("ADMIN_TOKEN") != "" {
		page = "/login"
	}
	for _, m := range d.members {
		row(fmt.Sprintf("node %d", m.number), "http://"+m.at.data, "cluster page "+d.style.Link("http://"+m.at.admin+page))
	}
	row("users", d.users.url, "an upstream")
	row("public", d.public.url, "another")
	row("redis", d.at.redis, "shared by all nodes")
	row("config", d.opts.config, "changed: copied to "+filepath.Join(d.opts.dir, "node-N.yaml"))
	row("log", d.logName, "of all nodes")
	fmt.Fprintf(w, "\n%s\n\n", d.style.Bold("Paste into another terminal"))
}

// writeToken leaves a token in a file: in a line to paste it would be three lines
// long.
func (d *demo) writeToken() (path string, err error) {
	var token strings.Builder
	if err := node.PrintToken(&token, d.opts.config, tokenUser, d.environment(d.members[0])); err != nil {
		return "", fmt.Errorf("cannot make a token: %w", err)
	}
	path = filepath.Join(d.opts.dir, "token")
	if err := os.WriteFile(path, []byte(token.String()), 0o600); err != nil {
		return "", fmt.Errorf("cannot write a token, choose another directory with -dir: %w", err)
	}
	return path, nil
}
