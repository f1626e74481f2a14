package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-api-gateway-pro/gateway/node"
)

// member is one node of the demo, running or not. Its ports stay its own. Start
// and kill are for one goroutine.
type member struct {
	number int
	at     nodeAddresses

	mu    sync.Mutex
	stop  context.CancelFunc // nil: it never ran
	ended chan struct{}      // closed when Run has returned
}

// start builds the node and runs it; failed is called if it ends by itself.
func (m *member) start(opts node.Options, failed func(error)) error {
	if m.running() {
		return fmt.Errorf("node %d is running already", m.number)
	}
	n, err := node.New(opts)
	if err != nil {
		return fmt.Errorf("cannot start node %d: %w", m.number, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stop, m.ended = cancel, ended
	go func() {
		defer close(ended)
		if err := n.Run(ctx); ctx.Err() == nil {
			failed(err)
		}
	}()
	return nil
}

// running may be called concurrently.
func (m *member) running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended == nil {
		return false
	}
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// kill waits until the node is gone.
func (m *member) kill() error {
	if !m.running() {
		return fmt.Errorf("node %d is not running", m.number)
	}
	m.stop()
	<-m.ended
	return nil
}

// environment is what the node finds in its environment. Names that the demo
// does not set are those of the process: the configuration may use more of
// them. What would lead a node out of the demo is set to nothing.
func (d *demo) environment(m *member) func(name string) (string, bool) {
	set := map[string]string{
		"GATEWAY_ENV":       "development",
		"HOST":              loopback,
		"PORT":              port(m.at.data),
		"ADMIN_HOST":        loopback,
		"ADMIN_PORT":        port(m.at.admin),
		"TRUSTED_PROXIES":   loopback,
		"DRAIN_DELAY_MS":    "0",
		"DRAIN_TIMEOUT_MS":  "2000",
		"REDIS_ADDR":        d.redis.addr,
		"REDIS_USERNAME":    "",
		"REDIS_PASSWORD":    "",
		"REDIS_KEY_PREFIX":  "",
		"MIN_MEMBERS":       "",
		"CLUSTER_BIND":      m.at.gossip,
		"CLUSTER_ADVERTISE": "",
		"CLUSTER_JOIN":      d.contact(m),
		"CLUSTER_LABEL":     "demo",
		"USERS_UPSTREAM":    d.users.url,
		"PUBLIC_UPSTREAM":   d.public.url,
	}
	return func(name string) (string, bool) {
		if value, ours := set[name]; ours {
			return value, true
		}
		return os.LookupEnv(name)
	}
}

// contact is the member that m joins: one that runs, or else the next, which
// may run later. A lone node joins nobody.
func (d *demo) contact(m *member) string {
	for _, other := range d.members {
		if other != m && other.running() {
			return other.at.gossip
		}
	}
	if next := d.members[m.number%len(d.members)]; next != m {
		return next.at.gossip
	}
	return ""
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// view is what a node says about its cluster.
type view struct {
	Self    string `json:"self"`
	Members []struct {
		Name    string `json:"name"`
		Address string `json:"address"`
		Mode    string `json:"mode"`
		RPS     int    `json:"rps"`
		Config  struct {
			Version int    `json:"version"`
			Hash    string `json:"hash"`
			Result  string `json:"result"`
		} `json:"config"`
	} `json:"members"`
	Breakers []struct {
		Backend string `json:"backend"`
		State   string `json:"state"`
	} `json:"breakers"`
}

// maxView is far more than nine nodes have to say.
const maxView = 1 << 20

// look asks the node's admin port. It may be called concurrently.
func (d *demo) look(ctx context.Context, m *member) (view, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.at.admin+"/cluster", nil)
	if err != nil {
		return view{}, fmt.Errorf("cannot ask node %d: %w", m.number, err)
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("ADMIN_TOKEN")) // open to all without one
	resp, err := d.client.Do(req)
	if err != nil {
		return view{}, fmt.Errorf("cannot ask node %d: %w", m.number, err)
	}
	defer resp.Body.Close()
	var v view
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxView)).Decode(&v); err != nil {
		return view{}, fmt.Errorf("cannot read what node %d says: %w", m.number, err)
	}
	return v, nil
}
