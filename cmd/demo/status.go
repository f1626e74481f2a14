package main

import (
	"context"
	"fmt"
	"strings"
)

// status tells the state of every part, one line each.
func (d *demo) status(ctx context.Context) string {
	var out strings.Builder
	fmt.Fprintf(&out, "front     http://%s", d.at.front)
	for _, m := range d.members {
		fmt.Fprintf(&out, "\n  node %d    http://%s  %s", m.number, m.at.data, d.describe(ctx, m))
	}
	fmt.Fprintf(&out, "\n  redis     %-21s  %s", d.redis.addr, pick(d.redis.up, "up", "stopped"))
	for _, u := range []*upstream{d.users, d.public} {
		fmt.Fprintf(&out, "\n  %-9s %s  %s", u.name, u.url, pick(u.failing, "failing", "healthy"))
	}
	return out.String()
}

// describe is what the node says about itself.
func (d *demo) describe(ctx context.Context, m *member) string {
	if !m.running() {
		return "down"
	}
	v, err := d.look(ctx, m)
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("up, %d members", len(v.Members))
	for _, row := range v.Members {
		if row.Name == v.Self {
			text += fmt.Sprintf(", limits: %s, %d requests/s", row.Mode, row.RPS)
		}
	}
	for _, b := range v.Breakers {
		if b.State != "closed" {
			text += fmt.Sprintf(", breaker of %s %s", b.Backend, b.State)
		}
	}
	return text
}

func pick(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}
