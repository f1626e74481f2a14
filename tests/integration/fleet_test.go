package integration

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/exec"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// fleet is several processes of Redis in one container, each on a port that is
// the same inside and outside: what they tell of each other holds for clients.
type fleet struct {
	clients []*redis.Client // of each, in order

	t         *testing.T
	ports     []int
	commands  []string
	container *testcontainers.DockerContainer
}

// newFleet starts a process for each port, by the command of the same place.
func newFleet(t *testing.T, ports []int, commands []string, files ...testcontainers.ContainerFile) *fleet {
	t.Helper()
	f := &fleet{t: t, ports: ports}
	inside := map[string]int{}
	for i, port := range ports {
		inside[strconv.Itoa(port)+"/tcp"] = port
		f.commands = append(f.commands, fmt.Sprintf("%s --pidfile /tmp/%d.pid >/tmp/%d.log 2>&1 &", commands[i], port, port))
	}
	f.container, _ = runRedis(t, inside, testcontainers.WithFiles(files...),
		testcontainers.WithCmd("sh", "-c", "trap exit TERM\n"+strings.Join(f.commands, "\n")+"\nwait"))
	t.Cleanup(f.showLogs)
	return f
}

// connect makes the clients and waits for all processes to answer.
func (f *fleet) connect(change func(*redis.Options)) {
	f.t.Helper()
	for _, port := range f.ports {
		o := &redis.Options{Addr: address(port), MaxRetries: -1, DialerRetries: 1}
		if change != nil {
			change(o)
		}
		c := redis.NewClient(o)
		f.t.Cleanup(func() { _ = c.Close() })
		f.clients = append(f.clients, c)
		harness.Eventually(f.t, 20*time.Second, "an answer from "+o.Addr, func() bool { return c.Ping(f.t.Context()).Err() == nil })
	}
}

// role is master or slave, or nothing where process i does not answer.
func (f *fleet) role(i int) string {
	parts, err := f.clients[i].Do(f.t.Context(), "role").Slice()
	if err != nil || len(parts) == 0 {
		return ""
	}
	name, _ := parts[0].(string)
	return name
}

// inStep waits until what is written to a master reaches its replica. That begins
// up to a second after both say that they are in touch.
func (f *fleet) inStep(master int, key string) {
	f.t.Helper()
	harness.Eventually(f.t, 20*time.Second, "a replica in step", func() bool {
		both := f.clients[master].Pipeline() // on one connection: it is its writes that are waited for
		both.Set(f.t.Context(), key, "", time.Minute)
		replicas := both.Do(f.t.Context(), "wait", 1, 100)
		_, err := both.Exec(f.t.Context())
		n, _ := replicas.Int()
		return err == nil && n > 0
	})
}

// addrs are those of the processes from one place to before another.
func (f *fleet) addrs(from, to int) (all []string) {
	for _, port := range f.ports[from:to] {
		all = append(all, address(port))
	}
	return all
}

// signal sends process i a signal.
func (f *fleet) signal(i int, name string) {
	f.t.Helper()
	f.run(fmt.Sprintf("kill -%s $(cat /tmp/%d.pid)", name, f.ports[i]))
}

// restart starts a killed process again, empty.
func (f *fleet) restart(i int) {
	f.t.Helper()
	f.run(strings.TrimSuffix(f.commands[i], "&") + " </dev/null &")
}

func (f *fleet) run(command string) string {
	f.t.Helper()
	code, out, err := f.container.Exec(f.t.Context(), []string{"sh", "-c", command}, exec.Multiplexed())
	if err != nil {
		f.t.Fatalf("cannot run %q: %v", command, err)
	}
	text, err := io.ReadAll(out)
	if err != nil || code != 0 {
		f.t.Fatalf("%q ended with %d: %s %v", command, code, text, err)
	}
	return string(text)
}

// showLogs helps to understand a failure.
func (f *fleet) showLogs() {
	if !f.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // that of the test is over
	defer cancel()
	for _, port := range f.ports {
		_, out, err := f.container.Exec(ctx, []string{"tail", "-n", "40", fmt.Sprintf("/tmp/%d.log", port)}, exec.Multiplexed())
		if err != nil {
			continue
		}
		if text, err := io.ReadAll(out); err == nil {
			f.t.Logf("process on %d:\n%s", port, text)
		}
	}
}
