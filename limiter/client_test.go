package limiter

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// sentinel tells who the master is, until it hangs. It says nothing before it is
// woken.
type sentinel struct {
	master string
	hung   atomic.Bool
	awake  chan struct{}
}

func (s *sentinel) serve(conn net.Conn) {
	<-s.awake
	in := bufio.NewReader(conn)
	for {
		words, err := readCommand(in)
		if err != nil {
			return
		}
		if !s.hung.Load() {
			_, _ = io.WriteString(conn, s.answer(words))
		}
	}
}

func (s *sentinel) answer(words []string) string {
	text := func(words ...string) string {
		out := fmt.Sprintf("*%d\r\n", len(words))
		for _, w := range words {
			out += fmt.Sprintf("$%d\r\n%s\r\n", len(w), w)
		}
		return out
	}
	switch what := strings.ToLower(strings.Join(words, " ")); {
	case strings.HasPrefix(what, "sentinel get-master-addr-by-name"):
		host, port, _ := net.SplitHostPort(s.master)
		return text(host, port)
	case strings.HasPrefix(what, "subscribe"):
		return fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n", len(words[1]), words[1])
	case strings.HasPrefix(what, "ping"):
		return "+PONG\r\n"
	default:
		return "*0\r\n"
	}
}

func readCommand(in *bufio.Reader) ([]string, error) {
	number := func() (int, error) {
		line, err := in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number()
	if err != nil {
		return nil, err
	}
	words := make([]string, n)
	for i := range words {
		size, err := number()
		if err != nil {
			return nil, err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(in, word); err != nil {
			return nil, err
		}
		words[i] = string(word[:size])
	}
	return words, nil
}

// A sentinel that hangs, as one does whose machine died together with the
// master's, is left for another within one attempt to connect.
func TestSentinelThatHangsIsLeft(t *testing.T) {
	master := miniredis.RunT(t)
	first, second := &sentinel{master: master.Addr(), awake: make(chan struct{})}, &sentinel{master: master.Addr(), awake: make(chan struct{})}
	cfg := DefaultConfig()
	cfg.Mode, cfg.MasterName = ModeSentinel, "main"
	cfg.Addrs = []string{fakeRedis(t, first.serve), fakeRedis(t, second.serve)}
	close(first.awake)
	client, err := newClient(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	waitFor(t, func() bool { return client.Ping(t.Context()).Err() == nil })

	first.hung.Store(true)
	close(second.awake)
	o := client.(*redis.Client).Options()
	ctx, cancel := context.WithTimeout(t.Context(), o.DialTimeout) // as the pool does
	defer cancel()
	conn, err := o.Dialer(ctx, "tcp", o.Addr)
	if err != nil {
		t.Fatalf("cannot connect to the master, though a sentinel tells who it is: %v", err)
	}
	conn.Close()
}
