package main

import (
	"fmt"
	"io"
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

// intro is meant to be pasted: a line to paste stands alone, and above it what
// to expect. Comments would not do, since not every shell takes them typed.
const intro = `A gateway cluster in one process.

  front      http://{front}        round robin over the nodes; docs at http://{front}/docs
{nodes}
  redis      {redis}               shared by all nodes
  upstreams  {users} (users), {public} (public)
  logs       {logs}

Paste into another terminal.

200, a public route; X-Demo-Node tells which node answered:
curl -i http://{front}/api/public/hello

401, a route that wants to know you:
curl -i http://{front}/api/users/42

200, with a token; the upstream sees you as X-User-ID:
export TOKEN={token}
curl -i -H "Authorization: Bearer $TOKEN" http://{front}/api/users/42

429 once the bucket is empty, 250 requests and 200 a second for this address on all nodes together:
curl -s -o /dev/null -w '%{http_code}\n' 'http://{front}/api/public/[1-1000]' | sort | uniq -c

What node 1 knows of the cluster:
curl -s http://{admin}/cluster

{commands}

`

// introduce prints the addresses, a token and the lines to paste.
func (d *demo) introduce(out io.Writer) error {
	var token strings.Builder
	if err := node.PrintToken(&token, d.opts.config, tokenUser, d.environment(d.members[0])); err != nil {
		return fmt.Errorf("cannot print a token: %w", err)
	}
	var nodes []string
	for _, m := range d.members {
		nodes = append(nodes, fmt.Sprintf("  node %d     http://%s        admin http://%s/cluster", m.number, m.at.data, m.at.admin))
	}
	text := strings.NewReplacer(
		"{front}", d.at.front, "{nodes}", strings.Join(nodes, "\n"), "{redis}", d.at.redis,
		"{users}", d.users.url, "{public}", d.public.url, "{logs}", d.logName,
		"{token}", strings.TrimSpace(token.String()), "{admin}", d.at.nodes[0].admin, "{commands}", commands,
	).Replace(intro)
	d.talk.Lock()
	defer d.talk.Unlock()
	_, err := io.WriteString(out, text)
	return err
}
