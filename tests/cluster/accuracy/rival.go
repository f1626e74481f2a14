package accuracy

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/valyala/fasthttp"
)

// verdict is what a rival decides on a request.
type verdict int

const (
	admit  verdict = iota
	deny           // 429
	broken         // 500
)

// decider decides on the requests of one node. Safe for concurrent use.
type decider func(key string) verdict

// policy makes the decider of one node: how others do what the gateway does.
type policy func(tb testing.TB, st *stage, l limit) decider

// startRivals serves the stage's entries by the scenario's rival: nodes without
// anything but the limit and the forwarding.
func startRivals(tb testing.TB, st *stage, s scenario) {
	tb.Helper()
	for _, addr := range st.entries {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			tb.Fatal(err)
		}
		decide := s.rival(tb, st, s.loads[0].limit)
		forward := &fasthttp.HostClient{Addr: st.upstream.addr, MaxConns: 2 * streamWorkers}
		serve(tb, ln, func(ctx *fasthttp.RequestCtx) {
			_, key, _ := strings.Cut(string(ctx.Path()[1:]), "/")
			switch decide(key) {
			case deny:
				ctx.SetStatusCode(fasthttp.StatusTooManyRequests)
			case broken:
				ctx.SetStatusCode(fasthttp.StatusInternalServerError)
			default:
				if err := forward.Do(&ctx.Request, &ctx.Response); err != nil {
					ctx.SetStatusCode(fasthttp.StatusBadGateway)
				}
			}
		})
	}
}

// plainClient has the options most people use: the defaults.
func plainClient(tb testing.TB, addr string) *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: addr, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}})
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

// carefulClient keeps to the gateway's budget and sends nothing twice, so that
// its policy is compared, not its options.
func carefulClient(tb testing.TB, addr string) *redis.Client {
	client := redis.NewClient(&redis.Options{
		Addr: addr, MaxRetries: -1, DialerRetries: 1, DialTimeout: budget, ContextTimeoutEnabled: true, PoolTimeout: budget,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

// threeBuckets are a request's global, user and ip bucket; the global one is the
// limit that is judged, the others are wide.
func threeBuckets(l limit, key string) (keys []string, limits []redis_rate.Limit) {
	wide := redis_rate.PerSecond(100_000)
	return []string{l.name, l.name + ":user:" + key, l.name + ":ip:" + key}, []redis_rate.Limit{rateLimit(l), wide, wide}
}

func rateLimit(l limit) redis_rate.Limit {
	return redis_rate.Limit{Rate: l.rate, Burst: l.burst, Period: time.Second}
}

// sequential asks for three buckets one after the other, and breaks with Redis.
func sequential(tb testing.TB, st *stage, l limit) decider {
	limiter := redis_rate.NewLimiter(plainClient(tb, st.redis.Addr))
	return func(key string) verdict {
		keys, limits := threeBuckets(l, key)
		for i := range keys {
			if v := judge(limiter.Allow(context.Background(), keys[i], limits[i])); v != admit {
				return v
			}
		}
		return admit
	}
}

// pipelined asks for three buckets at once, in writes shared by all requests of
// the moment.
func pipelined(tb testing.TB, st *stage, l limit) decider {
	pipe, err := plainClient(tb, st.redis.Addr).AutoPipeline()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = pipe.Close() })
	limiter := redis_rate.NewLimiter(pipe)
	return func(key string) verdict {
		keys, limits := threeBuckets(l, key)
		var all [3]verdict
		var asking sync.WaitGroup
		for i := range keys {
			asking.Go(func() { all[i] = judge(limiter.Allow(context.Background(), keys[i], limits[i])) })
		}
		asking.Wait()
		return max(all[0], all[1], all[2])
	}
}

func judge(r *redis_rate.Result, err error) verdict {
	switch {
	case err != nil:
		return broken
	case r.Allowed == 0:
		return deny
	default:
		return admit
	}
}

// failOpen admits everything while Redis does not answer.
func failOpen(tb testing.TB, st *stage, l limit) decider {
	return careful(tb, st, l, func() verdict { return admit })
}

// coldShare limits by a bucket of R/N and B/N while Redis does not answer; it is
// full when that begins.
func coldShare(tb testing.TB, st *stage, l limit) decider {
	var mu sync.Mutex
	share := newBucket(l.perSecond()/size, l.burst/size)
	return careful(tb, st, l, func() verdict {
		mu.Lock()
		defer mu.Unlock()
		if share.take(st.clock.now(), 1) {
			return admit
		}
		return deny
	})
}

// careful asks Redis for one bucket within the budget, or else the fallback.
func careful(tb testing.TB, st *stage, l limit, fallback func() verdict) decider {
	limiter := redis_rate.NewLimiter(carefulClient(tb, st.redis.Addr))
	return func(string) verdict {
		ctx, cancel := context.WithTimeout(context.Background(), budget)
		defer cancel()
		v := judge(limiter.Allow(ctx, l.name, rateLimit(l)))
		if v == broken {
			return fallback()
		}
		return v
	}
}
