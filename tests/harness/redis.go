package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const redisLimit = 10 * time.Second // to start or to answer the harness

// Redis is a redis-server process that keeps nothing on disk.
type Redis struct {
	Addr     string
	tb       testing.TB
	port     string
	dir      string
	env      []string  // beside the test's
	Sentinel string    // file of a sentinel's configuration; empty: it is none
	cmd      *exec.Cmd // nil: not running
	client   *redis.Client
}

// NewRedis does not start it yet. It is killed when the test ends.
func NewRedis(tb testing.TB, port int, env ...string) *Redis {
	r := &Redis{tb: tb, Addr: Loopback(port), port: strconv.Itoa(port), dir: tb.TempDir(), env: env}
	r.client = redis.NewClient(&redis.Options{
		Addr: r.Addr, MaxRetries: -1, DialerRetries: 1, PoolSize: 2,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	tb.Cleanup(func() {
		_ = r.client.Close()
		r.Kill()
	})
	return r
}

// Start returns when the server answers.
func (r *Redis) Start() {
	r.tb.Helper()
	r.cmd = exec.Command("redis-server", "--bind", "127.0.0.1", "--port", r.port, "--save", "", "--appendonly", "no", "--dir", r.dir)
	if r.Sentinel != "" {
		r.cmd = exec.Command("redis-server", r.Sentinel, "--sentinel")
	}
	r.cmd.Env = append(os.Environ(), r.env...)
	if err := r.cmd.Start(); err != nil {
		r.tb.Fatalf("cannot start redis-server: %v", err)
	}
	Eventually(r.tb, redisLimit, "redis-server answers on "+r.Addr, func() bool {
		return r.client.Ping(context.Background()).Err() == nil
	})
}

func (r *Redis) Signal(sig syscall.Signal) {
	r.tb.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.tb.Fatalf("cannot signal redis-server: %v", err)
	}
}

// Kill ends the server at once, stopped or not; what it held is gone.
func (r *Redis) Kill() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill() // it may have ended by itself
	_ = r.cmd.Wait()         // killed: an error by design
	r.cmd = nil
}

// Info returns a section of INFO.
func (r *Redis) Info(section string) string {
	r.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), redisLimit)
	defer cancel()
	text, err := r.client.Info(ctx, section).Result()
	if err != nil {
		r.tb.Fatalf("cannot ask redis-server for its %s: %v", section, err)
	}
	return text
}

// Scripts returns how many scripts the server was sent, by its own count.
func (r *Redis) Scripts() float64 {
	r.tb.Helper()
	return scriptCalls(r.Info("commandstats"))
}

// scriptCalls adds up the calls of all commands that run a script.
func scriptCalls(stats string) float64 {
	var sum float64
	for _, m := range regexp.MustCompile(`(?m)^cmdstat_(?:evalsha|eval|fcall):calls=(\d+)`).FindAllStringSubmatch(stats, -1) {
		n, err := strconv.ParseFloat(m[1], 64)
		if err == nil {
			sum += n
		}
	}
	return sum
}

// Number returns a figure of INFO, 0 if it is not there.
func (r *Redis) Number(section, name string) float64 {
	r.tb.Helper()
	for line := range strings.Lines(r.Info(section)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return n
		}
	}
	return 0
}

// Time is the server's clock.
func (r *Redis) Time() time.Time {
	r.tb.Helper()
	now, err := r.client.Time(context.Background()).Result()
	if err != nil {
		r.tb.Fatalf("cannot ask redis-server for its time: %v", err)
	}
	return now
}

// Do sends one command.
func (r *Redis) Do(args ...any) {
	r.tb.Helper()
	if err := r.client.Do(context.Background(), args...).Err(); err != nil {
		r.tb.Fatalf("cannot %v: %v", args, err)
	}
}

const (
	junkSize  = 4 << 10
	junkBatch = 16 // values in one write: Redis is to forget, not to hang
	junkPause = 10 * time.Millisecond
)

// Fill writes megabytes of what nobody needs, at 6 MB a second: what is asked for
// meanwhile is never the oldest.
func (r *Redis) Fill(megabytes int) {
	r.tb.Helper()
	junk := strings.Repeat("x", junkSize)
	for i := range megabytes << 20 / junkSize / junkBatch {
		pipe := r.client.Pipeline()
		for j := range junkBatch {
			pipe.Set(context.Background(), fmt.Sprintf("junk:%d:%d", i, j), junk, 0)
		}
		if _, err := pipe.Exec(context.Background()); err != nil {
			r.tb.Fatalf("cannot fill Redis: %v", err)
		}
		time.Sleep(junkPause)
	}
}
