// Package stage is what load is measured on: an upstream, a Redis and whatever is to
// be measured, each a process of its own and bound to a core. What is measured has
// one core, everything else the other. Everything listens on 127.0.0.1 and ends with
// the stage. It needs nginx, redis-server, taskset and, for [Stage.Wrk], wrk.
package stage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The cores. On a machine of two there is no third.
const (
	ProxyCore = "0" // of what is measured
	OtherCore = "1" // of load, upstream and Redis
	otherCore = 1
	patience  = 15 * time.Second
)

// Stage is everything that runs while something is measured.
type Stage struct {
	Dir      string // of all files; removed by Close
	Upstream string // host:port; answers 1 KiB from memory
	Redis    string // host:port
	redisPID int
	running  []*exec.Cmd
}

// Open starts the upstream and Redis. What fails is undone.
func Open(ctx context.Context) (*Stage, error) {
	for _, tool := range []string{"wrk", "nginx", "redis-server", "taskset"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s is not on PATH", tool)
		}
	}
	dir, err := os.MkdirTemp("", "stage")
	if err != nil {
		return nil, err
	}
	s := &Stage{Dir: dir}
	if err := errors.Join(s.startUpstream(ctx), s.startRedis(ctx)); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close ends all processes and removes their files.
func (s *Stage) Close() {
	for _, cmd := range s.running {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, cmd := range s.running {
		finish(cmd)
	}
	_ = os.RemoveAll(s.Dir)
}

// Kill ends one process at once.
func (s *Stage) Kill(pid int) {
	for i, cmd := range s.running {
		if cmd.Process.Pid == pid {
			_ = cmd.Process.Kill()
			finish(cmd)
			s.running = slices.Delete(s.running, i, i+1)
			return
		}
	}
}

// finish waits for a process, and not for long.
func finish(cmd *exec.Cmd) {
	hard := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer hard.Stop()
	_ = cmd.Wait()
}

func (s *Stage) startUpstream(ctx context.Context) (err error) {
	if s.Upstream, err = FreeAddress(); err != nil {
		return err
	}
	answer := fmt.Sprintf("location / { return 200 '%s'; }", strings.Repeat("x", 1024))
	args, err := s.Nginx("upstream", s.Upstream, "", answer)
	if err != nil {
		return err
	}
	_, err = s.Launch(ctx, OtherCore, s.Upstream, args...)
	return err
}

func (s *Stage) startRedis(ctx context.Context) (err error) {
	if s.Redis, err = FreeAddress(); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(s.Redis)
	s.redisPID, err = s.Launch(ctx, OtherCore, s.Redis, "redis-server", "--bind", host, "--port", port, "--save", "", "--dir", s.Dir)
	return err
}

// Launch starts a command on one core and returns when it listens on addr.
func (s *Stage) Launch(ctx context.Context, core, addr string, command ...string) (pid int, err error) {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", core}, command...)...)
	cmd.Dir = s.Dir
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "HOME="+s.Dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := os.Create(filepath.Join(s.Dir, filepath.Base(command[0])+strings.ReplaceAll(addr, ":", "-")+".log"))
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

// FreeAddress returns an address of 127.0.0.1 that nobody listens on.
func FreeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}
