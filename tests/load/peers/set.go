package main

import (
	"context"
	"fmt"
	"os/exec"

	"github.com/go-api-gateway-pro/gateway/tests/load/stage"
)

// set is the stage with the proxies on it.
type set struct {
	*stage.Stage
	admin string // of the gateway with everything on
	token string // for it
}

// startPeers starts every proxy there is and names the absent ones.
func (s *set) startPeers(ctx context.Context, against string) (taking []*peer, absent []string, err error) {
	for _, p := range peers(against) {
		if p.binary != "" {
			if _, err := exec.LookPath(p.binary); err != nil {
				absent = append(absent, p.name)
				continue
			}
		}
		if err := s.startPeer(ctx, p); err != nil {
			return nil, nil, fmt.Errorf("cannot start %s: %w", p.name, err)
		}
		taking = append(taking, p)
	}
	return taking, absent, nil
}

func (s *set) startPeer(ctx context.Context, p *peer) (err error) {
	if p.addr, err = stage.FreeAddress(); err != nil {
		return err
	}
	args, err := p.args(ctx, s, p.addr)
	if err != nil {
		return err
	}
	p.pid, err = s.Launch(ctx, stage.ProxyCore, p.addr, args...)
	return err
}
