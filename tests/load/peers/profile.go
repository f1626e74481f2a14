package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
)

// profile writes a CPU profile of the gateway with everything on under full load:
// what the compiler is to be guided by.
func (s *set) profile(ctx context.Context, o options) error {
	p := full()
	if err := s.startPeer(ctx, p); err != nil {
		return err
	}
	loaded := make(chan error, 1)
	go func() {
		longer := o
		longer.seconds += 2 // than the profile
		_, err := s.measure(ctx, p, longer)
		loaded <- err
	}()
	if err := fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.admin, o.seconds), o.profile); err != nil {
		return err
	}
	return <-loaded
}

func fetch(ctx context.Context, url, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(path, body, 0o644)
}
