package limiter

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// stateAge is how old a client's map of a Redis Cluster may be. Where a dead
// master's buckets went nobody tells unasked, and the client's own interval is a
// minute.
const stateAge = time.Second

// dialTimeout is also what a connection may take to say hello, in the
// background.
const dialTimeout = 100 * time.Millisecond

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// newClient sets what the defaults of the client get wrong here: it would send
// a charge again after a timeout, ignore deadlines, and spend seconds on an
// address that refuses.
func newClient(cfg Config, dial dialFunc) (redis.UniversalClient, error) {
	o, err := clientOptions(cfg, dial)
	if err != nil {
		return nil, err
	}
	switch cfg.Mode {
	case ModeSentinel:
		return redis.NewFailoverClient(failoverOptions(o)), nil
	case ModeCluster:
		return redis.NewClusterClient(clusterOptions(o)), nil
	default:
		return redis.NewClient(o.Simple()), nil
	}
}

func clientOptions(cfg Config, dial dialFunc) (*redis.UniversalOptions, error) {
	encryption, err := cfg.TLS.config()
	if err != nil {
		return nil, err
	}
	timeout := max(cfg.budget(), dialTimeout)
	return &redis.UniversalOptions{
		Addrs:                 cfg.addresses(),
		MasterName:            cfg.MasterName,
		Dialer:                encrypted(dial, encryption),
		TLSConfig:             encryption,
		Protocol:              2,
		Username:              cfg.Username,
		Password:              cfg.Password,
		SentinelUsername:      cfg.SentinelUsername,
		SentinelPassword:      cfg.SentinelPassword,
		DB:                    cfg.DB,
		MaxRetries:            -1,
		DialerRetries:         1,
		DialTimeout:           dialTimeout,
		ReadTimeout:           timeout, // the context holds the budget
		WriteTimeout:          timeout,
		PoolTimeout:           cfg.budget(),
		ContextTimeoutEnabled: true,
		PoolSize:              2 * batchWorkers,
		MinIdleConns:          batchWorkers,
		PipelinePoolSize:      -1, // or pipelines would run on connections nobody warmed
		DisableIdentity:       true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}, nil
}

// encrypted adds TLS to a dial of our own; the client adds it to its own only.
func encrypted(dial dialFunc, cfg *tls.Config) dialFunc {
	if dial == nil || cfg == nil {
		return dial
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		own := cfg.Clone()
		if own.ServerName == "" {
			own.ServerName, _, _ = net.SplitHostPort(addr)
		}
		return tls.Client(conn, own), nil
	}
}

// failoverOptions leave one attempt to connect the time to find out, twice, that
// the sentinel asked last does not answer, to ask all of them, and to dial the
// master. With less the client would not leave a sentinel that hangs.
func failoverOptions(o *redis.UniversalOptions) *redis.FailoverOptions {
	f := o.Failover()
	f.DialTimeout = 5 * f.ReadTimeout
	return f
}

// clusterOptions lets a moved bucket be followed: the server that says so has
// not charged it. Whether anything may be sent twice is up to the calls.
func clusterOptions(o *redis.UniversalOptions) *redis.ClusterOptions {
	c := o.Cluster()
	c.MaxRedirects = 3
	c.ClusterStateReloadInterval = stateAge
	c.MinRetryBackoff, c.MaxRetryBackoff = time.Millisecond, 2*time.Millisecond
	return c
}

// muteClientLog silences the lines the Redis client writes to stderr by itself,
// at least one for each failed dial; what matters is logged by the Limiter. The
// client offers only a switch for the whole process.
var muteClientLog = sync.OnceFunc(func() { redis.SetLogger(muted{}) }) //nolint:gochecknoglobals // the client's switch is global

type muted struct{}

func (muted) Printf(context.Context, string, ...any) {}
