package main

import (
	"context"
	"fmt"

	"github.com/go-api-gateway-pro/gateway/tests/load/stage"
)

// measure loads one proxy and counts what that cost it.
func (s *set) measure(ctx context.Context, p *peer, o options) (stage.Measurement, error) {
	args := []string{fmt.Sprintf("-c%d", o.connections), fmt.Sprintf("-d%ds", o.seconds)}
	if p.token {
		args = append(args, "-H", "Authorization: Bearer "+s.token)
	}
	return stage.Wrk(ctx, p.pid, append(args, "http://"+p.addr+"/api/x")...)
}
