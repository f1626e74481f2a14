package limiter

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
)

// remote is the cluster's buckets in Redis. Its methods block; callers of Check
// never run them. Safe for concurrent use.
type remote struct {
	client  redis.UniversalClient
	spread  bool   // buckets lie on several servers: each is a call of its own
	digest  string // of the script
	budget  time.Duration
	breaker *breaker
	metrics *metrics
	now     func() int64
	store   *store
	view    func() view
	canary  *rule
}

// send decides all asks of the batch in one write.
func (r *remote) send(batch []*ask) {
	ctx, cancel := context.WithTimeout(context.Background(), r.budget)
	defer cancel()
	calls := make([]call, 0, len(batch))
	for _, a := range batch {
		calls = r.questions(ctx, calls, a)
	}
	sent := r.now()
	r.exec(ctx, calls)
	r.repeat(ctx, calls)
	var all tally
	var back []post
	for _, a := range batch {
		n := 1
		if r.spread {
			n = a.questions()
			back = undo(back, a, calls[:n])
		}
		r.finish(a, calls[:n], sent, &all)
		calls = calls[n:]
	}
	r.report(all)
	if len(back) > 0 {
		r.post(back)
	}
}

// drop ends asks whose callers gave up before anything was sent.
func (r *remote) drop(a *ask) {
	r.store.adopt(a, answer{unsent: true, err: context.Canceled}, r.view(), false)
}

// finish adopts the answer to a and wakes its caller, who owns it from then on.
func (r *remote) finish(a *ask, calls []call, sent int64, t *tally) {
	ans := answer{sent: sent, results: make([]redis_rate.Result, 0, len(a.items))}
	for _, c := range calls {
		var err error
		ans.results, err = c.results(a, ans.results)
		ans.err = errors.Join(ans.err, err)
		r.metrics.call(c.Err())
	}
	mine := a.state.CompareAndSwap(askWaiting, askAnswered)
	t.count(ans.err, mine || a.state.Load() == askAhead)
	a.err = ans.err
	r.store.adopt(a, ans, r.view(), mine)
	if mine {
		a.done <- struct{}{}
	}
}

// undo appends refunds for the calls that took tokens while another one of the
// request denied or failed. It only happens to buckets on several servers. A
// grant whose answer was not seen is not asked back.
func undo(to []post, a *ask, calls []call) []post {
	pass := true
	for n, c := range calls {
		v, err := c.Result()
		pass = pass && (a.asked(n).via == viaShadow || err == nil && len(v) > 0 && v[0] > 0)
	}
	for n, c := range calls {
		v, err := c.Result()
		it := a.asked(n)
		if !pass && err == nil && len(v) > 0 && v[0] > 0 && it.via != viaRefill {
			to = append(to, post{key: keyOf(c), rule: it.rule, tokens: -it.cost})
		}
	}
	return to
}

// post charges or puts back without asking.
func (r *remote) post(posts []post) {
	ctx, cancel := context.WithTimeout(context.Background(), max(r.budget, dialTimeout))
	defer cancel()
	calls := make([]call, len(posts))
	for i, p := range posts {
		calls[i] = r.posting(ctx, p)
	}
	r.exec(ctx, calls)
	r.repeat(ctx, calls)
	for _, c := range calls {
		r.metrics.call(c.Err())
	}
}

func (r *remote) exec(ctx context.Context, calls []call) {
	pipe := r.client.Pipeline()
	for _, c := range calls {
		_ = pipe.Process(ctx, c) // queues only
	}
	r.metrics.writes.Inc()
	_, err := pipe.Exec(ctx)
	for _, c := range calls {
		// Where a new connection was refused, as for a wrong password, the client
		// gives the calls neither a reply nor the error.
		if err != nil && c.Err() == nil && c.Val() == nil {
			c.SetErr(err)
		}
	}
}

// repeat sends again, with the script, what found it missing. Such a call was
// refused before it ran, so nothing is charged twice.
func (r *remote) repeat(ctx context.Context, calls []call) {
	var missed []call
	for i := range calls {
		if redis.HasErrorPrefix(calls[i].Err(), "NOSCRIPT") {
			args := append([]any{"eval", takeSource}, calls[i].Args()[2:]...)
			calls[i].IntSliceCmd = redis.NewIntSliceCmd(ctx, args...)
			missed = append(missed, calls[i])
		}
	}
	if len(missed) > 0 {
		r.exec(ctx, missed)
	}
}

// probe runs the script on a bucket of its own, which proves all a check needs:
// that Redis answers in time, has the script and takes writes. Of several servers
// all must answer, or the limiter would return to a Cluster whose other buckets
// are still missing, and lose it again at once.
func (r *remote) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.budget)
	defer cancel()
	if all, ok := r.client.(*redis.ClusterClient); ok {
		if err := all.ForEachMaster(ctx, ping); err != nil {
			return err
		}
	}
	calls := []call{r.posting(ctx, post{key: r.canary.prefix, rule: r.canary, tokens: 1})}
	r.exec(ctx, calls)
	r.repeat(ctx, calls)
	return calls[0].Err()
}

func ping(ctx context.Context, server *redis.Client) error { return server.Ping(ctx).Err() }

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

// evicts returns the policy by which Redis throws buckets away when its memory
// is full, or nothing if it does not, or does not tell.
func (r *remote) evicts(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	found, err := r.client.ConfigGet(ctx, "maxmemory*").Result()
	policy := found["maxmemory-policy"]
	if err != nil || found["maxmemory"] == "0" || policy == "noeviction" {
		return ""
	}
	return policy
}

// tally counts the checks of a batch for the breaker.
type tally struct{ good, late, broken int }

// count counts one check, unless its caller has counted it as late.
func (t *tally) count(err error, mine bool) {
	switch {
	case !mine:
	case err == nil:
		t.good++
	case isTimeout(err):
		t.late++
	default:
		t.broken++
	}
}

func (r *remote) report(t tally) {
	now := r.now()
	r.breaker.succeed(t.good, now)
	r.breaker.fail(t.late, true, now)
	r.breaker.fail(t.broken, false, now)
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, redis.ErrPoolTimeout) || (errors.As(err, &netErr) && netErr.Timeout())
}
