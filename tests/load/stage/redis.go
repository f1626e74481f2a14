package stage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// RedisUse is what Redis has done since it began.
type RedisUse struct {
	Scripts int // that clients called; what a script calls is not counted again
	CPU     time.Duration
}

// RedisUse asks Redis and /proc.
func (s *Stage) RedisUse(ctx context.Context) (RedisUse, error) {
	info, err := askRedis(ctx, s.Redis, "INFO commandstats")
	if err != nil {
		return RedisUse{}, fmt.Errorf("cannot ask Redis at %s: %w", s.Redis, err)
	}
	used, err := CPUTime(s.redisPID)
	return RedisUse{Scripts: scriptCalls(info), CPU: used}, err
}

// FlushRedis empties it.
func (s *Stage) FlushRedis(ctx context.Context) error {
	conn, err := dialRedis(ctx, s.Redis, "FLUSHALL")
	if err != nil {
		return err
	}
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && line != "+OK\r\n" {
		err = fmt.Errorf("cannot flush: %q", line)
	}
	return err
}

// askRedis sends a command that is answered with one string.
func askRedis(ctx context.Context, addr, command string) (string, error) {
	conn, err := dialRedis(ctx, addr, command)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	length, err := strconv.Atoi(strings.Trim(line, "$\r\n"))
	if err != nil || length < 0 {
		return "", fmt.Errorf("answer %q", line)
	}
	text := make([]byte, length)
	_, err = io.ReadFull(r, text)
	return string(text), err
}

func dialRedis(ctx context.Context, addr, command string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(conn, command+"\r\n")
	if err = errors.Join(err, conn.SetDeadline(time.Now().Add(patience))); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// scriptCalls reads commandstats.
func scriptCalls(info string) (calls int) {
	for line := range strings.Lines(info) {
		name, rest, _ := strings.Cut(line, ":calls=")
		if name != "cmdstat_evalsha" && name != "cmdstat_eval" {
			continue
		}
		digits, _, _ := strings.Cut(rest, ",")
		n, err := strconv.Atoi(digits)
		if err == nil {
			calls += n
		}
	}
	return calls
}
