package limiter

import (
	"context"
	"crypto/sha1"
	_ "embed" // the script
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	redisPrefix = "rate:" // of redis_rate
	argsPerKey  = 3
	repliesEach = 4

	// dialTimeout is also what a connection may take to say hello, in the
	// background.
	dialTimeout = 100 * time.Millisecond
)

//go:embed take.lua
var takeSource string

// remote is the cluster's buckets in Redis. Its methods block; callers of Check
// never run them. Safe for concurrent use.
type remote struct {
	client  *redis.Client
	digest  string // of the script
	budget  time.Duration
	breaker *breaker
	metrics *metrics
	now     func() int64
	canary  *rule
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// newClient sets what the defaults of the client get wrong here: it would send
// a charge again after a timeout, ignore deadlines, and spend seconds on an
// address that refuses.
func newClient(cfg Config, addr string, dial dialFunc) *redis.Client {
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	}
	timeout := max(cfg.budget(), dialTimeout)
	return redis.NewClient(&redis.Options{
		Addr:                  addr,
		Dialer:                dial,
		Protocol:              2,
		Username:              cfg.Username,
		Password:              cfg.Password,
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
	})
}

// muteClientLog silences the lines the Redis client writes to stderr by itself,
// at least one for each failed dial; what matters is logged by the Limiter. The
// client offers only a switch for the whole process.
var muteClientLog = sync.OnceFunc(func() { redis.SetLogger(muted{}) }) //nolint:gochecknoglobals // the client's switch is global

type muted struct{}

func (muted) Printf(context.Context, string, ...any) {}

// scriptDigest is the name of the script in Redis.
func scriptDigest() string {
	sum := sha1.Sum([]byte(takeSource)) // chosen by Redis; it protects nothing
	return hex.EncodeToString(sum[:])
}

// takeCmd is one run of the script. It is never sent twice.
type takeCmd struct{ *redis.IntSliceCmd }

// NoRetry tells the client so.
func (takeCmd) NoRetry() bool { return true }

// send decides all asks of the batch in one write.
func (r *remote) send(batch []*ask) {
	ctx, cancel := context.WithTimeout(context.Background(), r.budget)
	defer cancel()
	cmds := make([]takeCmd, len(batch))
	for i, a := range batch {
		cmds[i] = r.command(ctx, a)
	}
	r.exec(ctx, cmds)
	r.reload(ctx, cmds)
	answered, late, broken := 0, 0, 0
	for i, a := range batch {
		a.err = a.parse(cmds[i])
		mine := a.state.CompareAndSwap(askWaiting, askAnswered)
		switch {
		case !mine: // its caller has counted it as late
		case a.err == nil:
			answered++
		case isTimeout(a.err):
			late++
		default:
			broken++
		}
		r.metrics.call(cmds[i].Err())
		if mine {
			a.done <- struct{}{}
		}
	}
	now := r.now()
	r.breaker.succeed(answered, now)
	r.breaker.fail(late, true, now)
	r.breaker.fail(broken, false, now)
}

func (r *remote) exec(ctx context.Context, cmds []takeCmd) {
	pipe := r.client.Pipeline()
	for _, cmd := range cmds {
		_ = pipe.Process(ctx, cmd) // queues only
	}
	r.metrics.writes.Inc()
	_, _ = pipe.Exec(ctx) // each command has its own error
}

// reload loads the script and runs again what found it missing. Such a command
// was refused before it ran, so nothing is charged twice.
func (r *remote) reload(ctx context.Context, cmds []takeCmd) {
	var missed []int
	for i := range cmds {
		if redis.HasErrorPrefix(cmds[i].Err(), "NOSCRIPT") {
			missed = append(missed, i)
		}
	}
	if len(missed) == 0 {
		return
	}
	pipe := r.client.Pipeline()
	pipe.ScriptLoad(ctx, takeSource)
	for _, i := range missed {
		cmds[i] = takeCmd{redis.NewIntSliceCmd(ctx, cmds[i].Args()...)}
		_ = pipe.Process(ctx, cmds[i])
	}
	r.metrics.writes.Inc()
	_, _ = pipe.Exec(ctx)
}

// command builds the run of the script for a. The pointers keep each argument
// from being copied to the heap; they live as long as the ask.
func (r *remote) command(ctx context.Context, a *ask) takeCmd {
	a.args = append(a.args[:0], "evalsha", r.digest, len(a.rules))
	for i := range a.text {
		a.args = append(a.args, &a.text[i])
	}
	for i, rule := range a.rules {
		a.args = append(a.args, &rule.interval, &rule.burst, a.costs[i])
	}
	return takeCmd{redis.NewIntSliceCmd(ctx, a.args...)}
}

// parse reads the reply into results that only the owner of the state looks at.
func (a *ask) parse(cmd takeCmd) error {
	reply, err := cmd.Result()
	if err != nil {
		return err
	}
	if len(reply) != repliesEach*len(a.rules) {
		return fmt.Errorf("cannot read reply: want %d integers, got %d", repliesEach*len(a.rules), len(reply))
	}
	a.reply = reply
	return nil
}

// adopt turns the reply into results.
func (a *ask) adopt() {
	for i, rule := range a.rules {
		v := a.reply[repliesEach*i:]
		res := redis_rate.Result{
			Limit:      rule.rate,
			Remaining:  int(v[1]),
			RetryAfter: time.Duration(v[2]) * time.Microsecond,
			ResetAfter: time.Duration(v[3]) * time.Microsecond,
		}
		if v[0] == 1 {
			res.Allowed, res.RetryAfter = a.costs[i], -1
		}
		a.results[i] = res
	}
	a.settle()
}

// probe runs the script on a bucket of its own, which proves all a check needs:
// that Redis answers in time, has the script and takes writes.
func (r *remote) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.budget)
	defer cancel()
	a := newAsk()
	a.add(r.canary, "", 1)
	a.spell()
	cmds := []takeCmd{r.command(ctx, a)}
	r.exec(ctx, cmds)
	r.reload(ctx, cmds)
	return a.parse(cmds[0])
}

// warm says hello on as many connections as there are workers, and leaves the
// script in Redis. It fails silently: checks find out for themselves.
func (r *remote) warm(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var all sync.WaitGroup
	for range batchWorkers {
		all.Go(func() { r.client.ScriptLoad(ctx, takeSource) })
	}
	all.Wait()
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, redis.ErrPoolTimeout) || (errors.As(err, &netErr) && netErr.Timeout())
}
