package faults

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// What relays do to conversations.
const (
	sound  = harness.Sound
	slow   = harness.Slow
	hang   = harness.Hang
	nobody = harness.Nobody
)

const sentinels = 3

// failover is a replica of a redis-server and the sentinels that watch both.
type failover struct {
	replica   *harness.Redis
	sentinels []string
}

// newFailover returns when every sentinel knows of the replica and the others.
func newFailover(tb testing.TB, master *harness.Redis, ports []int) *failover {
	tb.Helper()
	f := &failover{replica: harness.NewRedis(tb, ports[0]), sentinels: harness.Addresses(ports[1:])}
	f.replica.Start()
	host, port, _ := net.SplitHostPort(master.Addr)
	master.Do("CONFIG", "SET", "repl-diskless-sync-delay", "0")
	f.replica.Do("REPLICAOF", host, port)
	harness.Eventually(tb, startLimit, "a replica in step", func() bool {
		return strings.Contains(master.Info("replication"), "state=online")
	})
	var all []*harness.Redis
	for _, port := range ports[1:] {
		all = append(all, newSentinel(tb, port, master.Addr))
	}
	for _, s := range all {
		harness.Eventually(tb, startLimit, "a sentinel that knows all", func() bool {
			return strings.Contains(s.Info("sentinel"), fmt.Sprintf("slaves=1,sentinels=%d", sentinels))
		})
	}
	return f
}

func newSentinel(tb testing.TB, port int, master string) *harness.Redis {
	tb.Helper()
	s := harness.NewRedis(tb, port)
	s.Sentinel = filepath.Join(tb.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("bind 127.0.0.1\nport %d\nsentinel monitor main %s %d\n", port, strings.ReplaceAll(master, ":", " "), sentinels/2+1) +
		"sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 2000\n"
	if err := os.WriteFile(s.Sentinel, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	s.Start()
	return s
}

// skewedClock is a library that a process loads before all others: gettimeofday
// and clock_gettime then tell the real time and what the file says beside it.
const skewedClock = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
static volatile long long *skew;
__attribute__((constructor)) static void begin(void) {
	int fd = open(getenv("CLOCK_SKEW"), O_RDONLY);
	void *at = fd < 0 ? MAP_FAILED : mmap(0, 8, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) abort();
	skew = at;
}
int clock_gettime(clockid_t id, struct timespec *t) {
	static int (*real)(clockid_t, struct timespec *);
	if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int r = real(id, t);
	if (!r && skew && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) t->tv_sec += *skew;
	return r;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone) {
	struct timespec now;
	int r = clock_gettime(CLOCK_REALTIME, &now);
	t->tv_sec = now.tv_sec;
	t->tv_usec = now.tv_nsec / 1000;
	return r;
}
time_t time(time_t *t) {
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (t) *t = now.tv_sec;
	return now.tv_sec;
}
`

// redisClock is the wall clock of a redis-server, which can be set.
type redisClock struct{ file, library string }

// newRedisClock compiles the library.
func newRedisClock(tb testing.TB) *redisClock {
	tb.Helper()
	dir := tb.TempDir()
	c := &redisClock{file: filepath.Join(dir, "skew"), library: filepath.Join(dir, "clock.so")}
	source := filepath.Join(dir, "clock.c")
	if err := os.WriteFile(source, []byte(skewedClock), 0o600); err != nil {
		tb.Fatal(err)
	}
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-O1", "-o", c.library, source, "-ldl").CombinedOutput(); err != nil {
		tb.Fatalf("cannot compile the clock of Redis: %v\n%s", err, out)
	}
	c.set(tb, 0)
	return c
}

// set puts the clock off by whole seconds, at once. The file is mapped: it is
// written in place.
func (c *redisClock) set(tb testing.TB, off time.Duration) {
	tb.Helper()
	file, err := os.OpenFile(c.file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	var text [8]byte
	binary.NativeEndian.PutUint64(text[:], uint64(int64(off/time.Second)))
	if _, err := file.WriteAt(text[:], 0); err != nil {
		tb.Fatal(err)
	}
}

func (c *redisClock) env() []string {
	return []string{"LD_PRELOAD=" + c.library, "CLOCK_SKEW=" + c.file}
}
