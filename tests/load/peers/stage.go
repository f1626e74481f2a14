package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	proxyCore = "0" // of the one that is measured
	otherCore = "1" // of wrk, upstream and Redis
	patience  = 15 * time.Second
)

// stage is everything that runs while a proxy is measured.
type stage struct {
	dir      string
	running  []*exec.Cmd
	upstream string // host:port
	redis    string
	admin    string // of the gateway with everything on
	token    string // for it
}

// startOthers brings up all but the proxies.
func (s *stage) startOthers(ctx context.Context) (err error) {
	if s.admin, err = freeAddress(); err != nil {
		return err
	}
	if err := s.startUpstream(ctx); err != nil {
		return err
	}
	return s.startRedis(ctx)
}

// startPeers starts every proxy there is and names the absent ones.
func (s *stage) startPeers(ctx context.Context, against string) (taking []*peer, absent []string, err error) {
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

func (s *stage) startUpstream(ctx context.Context) (err error) {
	if s.upstream, err = freeAddress(); err != nil {
		return err
	}
	answer := fmt.Sprintf("location / { return 200 '%s'; }", strings.Repeat("x", 1024))
	args, err := nginxArgs(s.dir, "upstream", s.upstream, "", answer)
	if err != nil {
		return err
	}
	_, err = s.launch(ctx, otherCore, s.upstream, "nginx", args...)
	return err
}

func (s *stage) startRedis(ctx context.Context) (err error) {
	if s.redis, err = freeAddress(); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(s.redis)
	_, err = s.launch(ctx, otherCore, s.redis, "redis-server", "--bind", host, "--port", port, "--save", "", "--dir", s.dir)
	return err
}

func (s *stage) startPeer(ctx context.Context, p *peer) (err error) {
	if p.addr, err = freeAddress(); err != nil {
		return err
	}
	args, err := p.args(ctx, s, p.addr)
	if err != nil {
		return err
	}
	p.pid, err = s.launch(ctx, proxyCore, p.addr, args[0], args[1:]...)
	return err
}

// launch starts a program on one core and waits until it listens.
func (s *stage) launch(ctx context.Context, core, addr, name string, args ...string) (pid int, err error) {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", core, name}, args...)...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "HOME="+s.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := os.Create(filepath.Join(s.dir, filepath.Base(name)+strings.ReplaceAll(addr, ":", "-")+".log"))
	if err != nil {
		return 0, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	s.running = append(s.running, cmd)
	if err := waitFor(ctx, addr); err != nil {
		said, _ := os.ReadFile(out.Name())
		return 0, fmt.Errorf("%w; it said: %.500s", err, said)
	}
	return cmd.Process.Pid, nil // taskset becomes the program
}

func (s *stage) end() {
	for _, cmd := range s.running {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, cmd := range s.running {
		hard := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		hard.Stop()
	}
}

func waitFor(ctx context.Context, addr string) error {
	for deadline := time.Now().Add(patience); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}
