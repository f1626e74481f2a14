package node

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/gofiber/fiber/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"github.com/go-api-gateway-pro/gateway/auth"
	"github.com/go-api-gateway-pro/gateway/cluster"
	"github.com/go-api-gateway-pro/gateway/cluster/push"
	"github.com/go-api-gateway-pro/gateway/limiter"
	"github.com/go-api-gateway-pro/gateway/node/admin"
	"github.com/go-api-gateway-pro/gateway/node/config"
	"github.com/go-api-gateway-pro/gateway/proxy"
	"github.com/go-api-gateway-pro/gateway/telemetry"
)

// flushTime is what a dead collector may cost at the end.
const flushTime = 2 * time.Second

// lastRequest is how long a fresh connection may take to send something before
// the drain counts it as idle.
const lastRequest = 100 * time.Millisecond

// Options are a node's dependencies. Settings come from the file at Path.
type Options struct {
	Path    string                           // the configuration file
	Lookup  func(name string) (string, bool) // the environment; nil: the process's
	Log     io.Writer                        // JSON lines; nil: standard output
	Now     func() time.Time                 // nil: time.Now
	Version string
}

// Node is one gateway. All methods may be called concurrently.
type Node struct {
	// fixed at New
	path    string
	lookup  func(name string) (string, bool)
	now     func() time.Time
	name    string // unique per process start
	version string
	started time.Time

	readTimeout time.Duration // a client's longest silence

	// live as long as the node
	logger   zerolog.Logger
	access   telemetry.AccessLog
	registry *prometheus.Registry
	requests *telemetry.Requests
	tracing  *telemetry.Tracing
	peer     *cluster.Peer
	statuses *cluster.Rows
	decoded  statusCache
	share    func([]byte)
	pusher   *push.Pusher

	modeChanged chan struct{} // holds a signal until the new mode is published
	limiter     *limiter.Limiter
	backends    *proxy.Backends
	keys        *auth.Keyring
	crowds      *crowds
	builtins    map[string]builtin
	app         *fiber.App
	data        *patient
	served      chan struct{} // closed when the data port takes no more connections
	watcher     *fsnotify.Watcher
	admin       *admin.Server
	weakSecret  prometheus.Gauge
	drift       prometheus.Gauge
	vitals      vitals
	board       *board
	teardown    teardown
	inside      context.Context // ends after the drain; what runs beside requests lives in it
	background  sync.WaitGroup

	// swapped by a reload
	reloads  *reloader
	snapshot atomic.Pointer[snapshot]

	draining atomic.Bool
	drifted  atomic.Bool
}

// New builds a node and binds its ports, but serves nothing yet. Parts are built
// in dependency order, each with its teardown beside it; if one fails, those
// before it are undone.
//
//	1 logs, metrics, traces
//	2 cluster ─┬─▶ 3 limiter (needs the number of members)
//	           └─▶ 4 backends (share their breakers), keys ──▶ 5 snapshot ─┬─▶ 6 data port
//	                                                                       └─▶ 7 admin port
func New(opts Options) (_ *Node, err error) {
	n := newNode(opts)
	text, err := config.Read(n.path)
	if err != nil {
		return nil, err
	}
	cfg, err := n.parse(text)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.teardown.run(context.Background()))
		}
	}()

	if err := n.observeWith(cfg, opts.Log); err != nil {
		return nil, err
	}

	if err := n.openGossip(cfg.Cluster); err != nil {
		return nil, err
	}

	n.limiter, err = limiter.New(limiter.Options{
		Config: n.keyed(cfg), Size: n.size, Local: n.localOthers, OnMode: n.announceMode,
		Now: n.now, Log: n.logger, Registerer: n.registry,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot start the limiter: %w", err)
	}
	n.teardown.push("limiter", func(context.Context) error { return n.limiter.Close() })

	n.backends = proxy.NewBackends(proxy.Options{
		Self: n.name, Members: n.memberNames,
		Log: n.logger, Registerer: n.registry, Now: n.now, Tracer: n.tracing.Tracer(),
	})
	n.backends.Announce(n.peer.Share("breakers", n.backends)) // must precede Join
	n.teardown.push("backends", func(context.Context) error { n.backends.Close(); return nil })

	n.keys = auth.NewKeyring(auth.KeyringOptions{Client: newKeyClient(), Log: n.logger, Registerer: n.registry})
	n.teardown.push("verification keys", func(context.Context) error { n.keys.Close(); return nil })

	n.builtins = n.newBuiltins(cfg)
	first, err := n.compile(cfg)
	if err != nil {
		return nil, err
	}
	n.reloads.text = text
	n.apply(first)
	n.recordReload(nil)

	if err := n.openPush(cfg); err != nil {
		return nil, err
	}
	if err := n.openData(cfg.Server); err != nil {
		return nil, err
	}
	if err := n.openAdmin(cfg.Admin); err != nil {
		return nil, err
	}
	if n.watcher, err = newWatcher(n.path); err != nil {
		return nil, err
	}
	n.teardown.push("watch", func(context.Context) error { return n.watcher.Close() })

	inside, cancel := context.WithCancel(context.Background())
	n.inside = inside
	n.teardown.push("background", func(context.Context) error { cancel(); n.background.Wait(); return nil })
	n.teardown.push("requests", n.drain) // last on the stack: the first to go
	return n, nil
}

func newNode(opts Options) *Node {
	now := opts.Now
	if now == nil {
		now = time.Now
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	n := &Node{
		path: opts.Path, lookup: lookupOrEnv(opts.Lookup), now: now, served: make(chan struct{}), name: uniqueName(), version: opts.Version,
		modeChanged: make(chan struct{}, 1),
		board:       newBoard(),
		started:     now(), registry: registry, reloads: newReloader(registry), crowds: newCrowds(registry),
		weakSecret: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gateway_weak_secret", Help: "Whether jwt.secret is the shipped one or too short (1).",
		}),
		drift: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gateway_cluster_config_versions", Help: "How many different configurations the live members run; more than 1 is drift.",
		}),
	}
	registry.MustRegister(n.weakSecret, n.drift, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_draining", Help: "Whether the node is stopping (1): it finishes what is under way.",
	}, n.stopping))
	return n
}

// stopping is 1 during the drain.
func (n *Node) stopping() float64 {
	if n.draining.Load() {
		return 1
	}
	return 0
}

// uniqueName names a process start: a restarted node must not be taken for the
// one that died.
func uniqueName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "gateway"
	}
	var random [3]byte
	_, _ = rand.Read(random[:]) // never fails
	return host + "-" + hex.EncodeToString(random[:])
}

// observeWith opens logs, metrics and traces.
func (n *Node) observeWith(cfg *config.Config, out io.Writer) error {
	if out == nil {
		out = os.Stdout
	}
	lines := telemetry.NewLogWriter(out, accessQueue, n.registry)
	n.teardown.push("log", lines.Close)
	n.logger = telemetry.NewLogger(lines.Events(), cfg.Log).With().Str("node", n.name).Logger()
	n.access = telemetry.NewAccessLog(lines, cfg.Log)
	n.requests = telemetry.NewRequests(n.registry)
	telemetry.BuildInfo(n.registry, n.version, runtime.Version())
	tracing, err := telemetry.NewTracing(cfg.Otel, n.logger, n.registry)
	if err != nil {
		return fmt.Errorf("cannot start tracing: %w", err)
	}
	n.tracing = tracing
	n.teardown.push("traces", n.flushTraces)
	return nil
}

// tuneListener gives the data port its bounds, its metrics and its certificate.
func (n *Node) tuneListener(s config.Server) error {
	n.readTimeout = time.Duration(s.ReadTimeoutMS) * time.Millisecond
	n.data.writeTimeout = time.Duration(s.WriteTimeoutMS) * time.Millisecond
	n.data.idleTimeout = time.Duration(s.IdleTimeoutMS) * time.Millisecond
	n.data.perClient, n.data.ipv6Prefix = s.MaxConnectionsPerClient, s.IPv6Prefix
	n.data.exempt = func(addr netip.Addr) bool { return n.snapshot.Load().addresses.Trusted(addr) }
	n.registry.MustRegister(n.data.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_connections_open", Help: "Connections of clients.",
	}, func() float64 { return float64(n.data.connections()) }))
	if s.TLS.CertFile == "" {
		return nil
	}
	pair, err := proxy.NewKeyPair(s.TLS.CertFile, s.TLS.KeyFile, n.certificateChanged)
	if err != nil {
		return fmt.Errorf("cannot use server.tls: %w", err)
	}
	n.data.secure = &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.Certificate(), nil },
	}
	return nil
}

func (n *Node) certificateChanged(err error) {
	if err != nil {
		n.logger.Error().Err(err).Msg("new certificate refused, the old one goes on")
		return
	}
	n.logger.Info().Msg("new certificate in use")
}

// flushTraces gives the collector a moment for the last spans. One that is dead
// costs spans, which are counted, not the clean end of the process.
func (n *Node) flushTraces(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	if err := n.tracing.Close(ctx); err != nil {
		n.logger.Warn().Err(err).Msg("the last spans are lost")
	}
	return nil
}

// Run joins the cluster and serves until ctx ends or the listener fails. It
// returns after requests in flight have drained and everything New made is gone,
// within server.drain_timeout_ms.
func (n *Node) Run(ctx context.Context) error {
	n.background.Go(func() { n.peer.Join(n.inside) })
	n.background.Go(func() { n.watch(n.inside) })
	n.background.Go(func() { n.data.lookAfterClients(n.inside) })
	n.background.Go(func() { n.publish(n.inside) })
	n.background.Go(func() { n.pusher.Run(n.inside) })
	n.admin.Serve()

	var failure error
	go func() {
		defer close(n.served)
		failure = n.app.Server().Serve(n.data)
	}()
	n.logger.Info().Str("version", n.version).Stringer("addr", n.data.Addr()).Str("admin", n.admin.Addr()).Msg("serving")
	select {
	case <-ctx.Done():
		return n.stop()
	case <-n.served:
		return errors.Join(fmt.Errorf("cannot serve on %s: %w", n.data.Addr(), failure), n.stop())
	}
}

// stop undoes everything New made.
func (n *Node) stop() error {
	limit := time.Duration(n.snapshot.Load().config.Server.DrainTimeoutMS) * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	n.logger.Info().Msg("stopping")
	return n.teardown.run(ctx)
}

// drain lets requests in flight finish: /ready fails first, the listener stays
// open for drain_delay_ms so that the balancer sees it and every answer asks for
// a new connection; only then it closes.
func (n *Node) drain(ctx context.Context) error {
	n.draining.Store(true)
	n.announceMode() // the others see it now, not in a second
	delay := time.Duration(n.snapshot.Load().config.Server.DrainDelayMS) * time.Millisecond
	select {
	case <-time.After(delay):
	case <-ctx.Done():
	}
	// The rest of the teardown needs time of its own.
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)*3/4)
		defer cancel()
	}
	n.data.finish()
	select {
	case <-n.served:
		// The last to come get to send their request, and its answer.
		time.Sleep(lastRequest)
	case <-ctx.Done():
	}
	n.backends.CloseTunnels(ctx)
	n.data.closeParked()
	if err := n.app.Server().ShutdownWithContext(ctx); err != nil {
		n.logger.Warn().Err(err).Msg("requests were still in flight after the drain, cutting them off")
	}
	n.data.cutOff()
	return nil
}

// Addr returns the data port's address; AdminAddr the admin port's.
func (n *Node) Addr() string { return n.data.Addr().String() }

// AdminAddr returns the admin port's address.
func (n *Node) AdminAddr() string { return n.admin.Addr() }

// Name returns the node's name in the cluster.
func (n *Node) Name() string { return n.name }
