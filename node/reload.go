package node

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/go-api-gateway-pro/gateway/node/config"
)

// reloader replaces the running configuration. What fails changes nothing.
type reloader struct {
	mu       sync.Mutex // one at a time
	text     []byte     // what was read last, good or bad; nil: nothing that could be read
	version  int        // counts the configurations that took effect
	loadedAt time.Time
	result   string // of the last attempt: "ok" or "refused"

	held *prepared // by a push: file reloads wait for it; nil: none
	due  bool      // a file reload waits

	success   prometheus.Gauge
	timestamp prometheus.Gauge
	refused   prometheus.Counter
	info      *prometheus.GaugeVec
}

func newReloader(reg prometheus.Registerer) *reloader {
	r := &reloader{
		success: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gateway_config_last_reload_success", Help: "Whether the last configuration read took effect (1) or was refused (0).",
		}),
		timestamp: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gateway_config_last_reload_timestamp_seconds", Help: "When a configuration last took effect.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gateway_config_refused_total", Help: "Configurations that were refused while the old one went on.",
		}),
		info: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gateway_config_info", Help: "The running configuration; always 1.",
		}, []string{"version", "hash"}),
	}
	reg.MustRegister(r.success, r.timestamp, r.refused, r.info)
	return r
}

// Reload reads the configuration file and lets it take effect. Equal bytes are
// no reload. After an error the running configuration goes on untouched; the
// error joins every fault found. While a push is prepared the reload waits for
// its end, within ten seconds.
func (n *Node) Reload() error {
	n.reloads.mu.Lock()
	defer n.reloads.mu.Unlock()
	return n.reloadFile()
}

// reloadFile is Reload under its lock.
func (n *Node) reloadFile() error {
	n.reloads.due = false
	text, err := config.Read(n.path)
	if err == nil && bytes.Equal(text, n.reloads.text) {
		return nil
	}
	if held := n.reloads.held; held != nil && !held.arrived(text) {
		n.reloads.due = true
		n.logger.Info().Str("file", n.path).Msg("a push is prepared, the changed file waits for it")
		return nil
	}
	n.reloads.text = text // nil after an error: what comes next is news, even if it is what runs
	if err == nil {
		err = n.reload(text)
	}
	n.recordReload(err)
	return err
}

// reload does everything that can fail, then hands over to apply, which cannot.
func (n *Node) reload(text []byte) error {
	next, err := n.accept(text)
	if err != nil {
		return err
	}
	if err := n.useKeys(next); err != nil {
		return err
	}
	n.apply(next)
	return nil
}

// useKeys takes over the gossip keys, which a reload may change.
func (n *Node) useKeys(next *snapshot) error {
	if err := n.peer.UseKeys(next.config.Cluster.SecretKey); err != nil {
		return fmt.Errorf("cluster.secret_key: %w", err)
	}
	return nil
}

// accept compiles a text that may take the running configuration's place.
func (n *Node) accept(text []byte) (*snapshot, error) {
	cfg, err := n.parse(text)
	if err != nil {
		return nil, err
	}
	if frozen := config.Frozen(n.snapshot.Load().config, cfg); len(frozen) > 0 {
		return nil, fmt.Errorf("%s: cannot change while the process runs; restart it", strings.Join(frozen, ", "))
	}
	return n.compile(cfg)
}

// parse decodes and checks a configuration, including what this environment
// demands of secrets.
func (n *Node) parse(text []byte) (*config.Config, error) {
	cfg, err := config.Parse(text, n.lookup)
	if err != nil {
		return nil, err
	}
	if err := cfg.JWT.CheckKeyFile(); err != nil {
		return nil, cfg.Locate(fmt.Errorf("jwt.%w", err))
	}
	if env, _ := n.lookup("GATEWAY_ENV"); env == "production" {
		if err := forbidWeakness(cfg); err != nil {
			return nil, cfg.Locate(err)
		}
	}
	return cfg, nil
}

// forbidWeakness refuses in production what draws a warning elsewhere.
func forbidWeakness(cfg *config.Config) error {
	if weak := cfg.JWT.WeakSecret(); cfg.JWT.Secret != "" && weak != "" {
		return errors.New("jwt.secret: must be strong when GATEWAY_ENV=production: " + weak)
	}
	if cfg.JWT.PlainJWKS() {
		return errors.New("jwt.jwks_url: must be https when GATEWAY_ENV=production, got http")
	}
	return nil
}

// apply lets a snapshot take effect: one store, then what nobody names any more
// is forgotten.
func (n *Node) apply(next *snapshot) {
	n.snapshot.Store(next)
	n.retain(next)
	n.reloads.version++
	n.reloads.loadedAt = n.now()
	n.warnOfWeakness(next.config)
}

// retain forgets what outlives a configuration and is not named by s.
func (n *Node) retain(s *snapshot) {
	n.keys.Retain(s.verifier)
	n.backends.Retain(s.upstreams())
	n.limiter.Retain(s.limitIDs())
	n.crowds.retain(s.routes)
	n.requests.Retain(n.keptLabels(s))
}

func (n *Node) keptLabels(s *snapshot) map[string]bool {
	labels := s.labels()
	for path := range n.builtins {
		labels[path] = true
	}
	return labels
}

func (n *Node) warnOfWeakness(cfg *config.Config) {
	if cfg.JWT.PlainJWKS() {
		n.logger.Warn().Msg("INSECURE: jwt.jwks_url is not https; whoever is on the way to it decides which tokens are good")
	}
	weak := cfg.JWT.WeakSecret()
	n.weakSecret.Set(0)
	if cfg.JWT.Secret != "" && weak != "" {
		n.weakSecret.Set(1)
		n.logger.Warn().Str("reason", weak).Msg("INSECURE: jwt.secret is weak; anyone may sign tokens. Change it before production")
	}
}

// weaknesses lists what must change before production, for people to read.
func weaknesses(cfg *config.Config) []string {
	out := []string{}
	if weak := cfg.JWT.WeakSecret(); cfg.JWT.Secret != "" && weak != "" {
		out = append(out, "jwt.secret "+weak+": anyone may sign tokens. Change it before production.")
	}
	if cfg.JWT.PlainJWKS() {
		out = append(out, "jwt.jwks_url is not https: whoever is on the way to it decides which tokens are good.")
	}
	return out
}

// recordReload makes the outcome visible: log, metrics, cluster.
func (n *Node) recordReload(err error) {
	r := n.reloads
	if err != nil {
		r.result = "refused"
		r.success.Set(0)
		r.refused.Inc()
		for _, fault := range Faults(err) {
			n.logger.Error().Err(fault).Str("file", n.path).Msg("configuration refused, the old one goes on")
		}
		return
	}
	hash := n.snapshot.Load().config.Hash()
	r.result = "ok"
	r.success.Set(1)
	r.timestamp.Set(float64(r.loadedAt.Unix()))
	r.info.Reset()
	r.info.WithLabelValues(fmt.Sprint(r.version), hash).Set(1)
	n.logger.Info().Int("version", r.version).Str("hash", hash).
		Int("routes", len(n.snapshot.Load().routes)).Msg("configuration in effect")
}

// Faults lists the errors joined in err, one per fault of a configuration.
func Faults(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}

// configStatus is what the cluster sees of a node's configuration.
type configStatus struct {
	Version  int       `json:"version"`
	Hash     string    `json:"hash"`
	LoadedAt time.Time `json:"loaded_at"`
	Result   string    `json:"result"`
}

func (n *Node) configStatus() configStatus {
	n.reloads.mu.Lock()
	defer n.reloads.mu.Unlock()
	return configStatus{
		Version: n.reloads.version, Hash: n.snapshot.Load().config.Hash(),
		LoadedAt: n.reloads.loadedAt.UTC(), Result: n.reloads.result,
	}
}

// LoadConfig reads and checks a configuration file without starting anything;
// the error joins every fault found.
func LoadConfig(path string, lookup func(string) (string, bool)) (*config.Config, error) {
	text, err := config.Read(path)
	if err != nil {
		return nil, err
	}
	return (&Node{lookup: lookupOrEnv(lookup)}).parse(text)
}

func lookupOrEnv(lookup func(string) (string, bool)) func(string) (string, bool) {
	if lookup == nil {
		return os.LookupEnv
	}
	return lookup
}
