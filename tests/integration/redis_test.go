package integration

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/redis/go-redis/v9"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const (
	redisImage = "redis:7-alpine"
	redisPort  = "6379/tcp"
)

// server is a Redis in a container. Its port stays the same when it comes back.
type server struct {
	Addr   string
	Client *redis.Client

	t         *testing.T
	container *testcontainers.DockerContainer
	docker    *testcontainers.DockerClient
}

func newRedis(t *testing.T) *server {
	t.Helper()
	port := harness.Ports(t, 1)[0]
	c, docker := runRedis(t, map[string]int{redisPort: port},
		testcontainers.WithCmd("redis-server", "--save", "", "--appendonly", "no", "--protected-mode", "no"),
		testcontainers.WithWaitStrategy(wait.ForLog("Ready to accept connections")))
	s := &server{Addr: address(port), t: t, container: c, docker: docker}
	s.Client = redis.NewClient(&redis.Options{Addr: s.Addr})
	t.Cleanup(func() { _ = s.Client.Close() })
	if err := s.Client.Ping(t.Context()).Err(); err != nil {
		t.Fatalf("cannot ask Redis: %v", err)
	}
	return s
}

// runRedis starts a container that is removed with the test. Its ports are found
// on 127.0.0.1 where the map says.
func runRedis(t *testing.T, ports map[string]int, options ...testcontainers.ContainerCustomizer) (*testcontainers.DockerContainer, *testcontainers.DockerClient) {
	t.Helper()
	// Every container is removed by its test; the reaper would be one image more.
	if os.Getenv("TESTCONTAINERS_RYUK_DISABLED") == "" {
		t.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
	}
	docker, err := testcontainers.NewDockerClientWithOpts(t.Context())
	if err != nil {
		t.Fatalf("cannot reach Docker: %v", err)
	}
	var exposed []string
	bindings := network.PortMap{}
	for inside, outside := range ports {
		exposed = append(exposed, inside)
		bindings[network.MustParsePort(inside)] = []network.PortBinding{
			{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: strconv.Itoa(outside)},
		}
	}
	c, err := testcontainers.Run(t.Context(), redisImage, append(options,
		testcontainers.WithLogger(log.TestLogger(t)),
		testcontainers.WithExposedPorts(exposed...),
		testcontainers.WithHostConfigModifier(func(h *container.HostConfig) { h.PortBindings = bindings }),
	)...)
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatalf("cannot start %s: %v", redisImage, err)
	}
	return c, docker
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// do runs an operation on the container and fails the test if it fails.
func (s *server) do(what string, op func(ctx context.Context, id string) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := op(ctx, s.container.GetContainerID()); err != nil {
		s.t.Errorf("cannot %s Redis: %v", what, err)
	}
}

// Kill ends Redis as a crash would.
func (s *server) Kill() {
	s.do("kill", func(ctx context.Context, id string) error {
		_, err := s.docker.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "KILL"})
		return err
	})
}

// Start brings a killed Redis back, empty.
func (s *server) Start() {
	s.do("start", func(ctx context.Context, id string) error {
		_, err := s.docker.ContainerStart(ctx, id, client.ContainerStartOptions{})
		return err
	})
}

// Pause freezes Redis: connections stay, answers do not come.
func (s *server) Pause() {
	s.do("pause", func(ctx context.Context, id string) error {
		_, err := s.docker.ContainerPause(ctx, id, client.ContainerPauseOptions{})
		return err
	})
}

// Unpause lets it go on.
func (s *server) Unpause() {
	s.do("unpause", func(ctx context.Context, id string) error {
		_, err := s.docker.ContainerUnpause(ctx, id, client.ContainerUnpauseOptions{})
		return err
	})
}

// Scripts returns how often Redis ran a script, by its own count.
func (s *server) Scripts() int {
	s.t.Helper()
	return scripts(s.t, s.Client)
}

// scripts returns how often the server ran a script.
func scripts(t *testing.T, client *redis.Client) int {
	t.Helper()
	info, err := client.Info(context.Background(), "commandstats").Result()
	if err != nil {
		t.Fatalf("cannot ask Redis for its counts: %v", err)
	}
	found := regexp.MustCompile(`cmdstat_evalsha:calls=(\d+)`).FindStringSubmatch(info)
	if found == nil {
		return 0
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(fmt.Errorf("cannot read %q: %w", found[0], err))
	}
	return n
}
