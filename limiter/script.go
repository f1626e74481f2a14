package limiter

import (
	"context"
	"crypto/sha1"
	_ "embed" // the script
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
)

const (
	redisPrefix = "rate:" // of redis_rate
	repliesEach = 4
)

//go:embed take.lua
var takeSource string

// scriptDigest is the name of the script in Redis.
func scriptDigest() string {
	sum := sha1.Sum([]byte(takeSource)) // chosen by Redis; it protects nothing
	return hex.EncodeToString(sum[:])
}

// call is one run of the script. It is never sent twice.
type call struct {
	*redis.IntSliceCmd
	items int // buckets in it
}

// NoRetry tells the client so.
func (call) NoRetry() bool { return true }

// Kinds of buckets, as the script numbers them.
func (v via) kind() string {
	switch v {
	case viaRefill:
		return "1"
	case viaShadow:
		return "2"
	default:
		return "0"
	}
}

// questions appends the calls that decide what of a needs Redis: one for all
// buckets, or one for each where they may lie on different servers.
func (r *remote) questions(ctx context.Context, to []call, a *ask) []call {
	a.spell()
	a.args = a.args[:0]
	if r.spread {
		for i := range a.items {
			if a.items[i].via != viaLease {
				from := len(a.args)
				a.args = append(a.args, "evalsha", r.digest, 1, &a.text[i])
				a.args = a.items[i].appendArgs(a.args)
				to = append(to, call{redis.NewIntSliceCmd(ctx, a.args[from:len(a.args):len(a.args)]...), 1})
			}
		}
		return to
	}
	n := a.questions()
	a.args = append(a.args, "evalsha", r.digest, n)
	for i := range a.items {
		if a.items[i].via != viaLease {
			a.args = append(a.args, &a.text[i])
		}
	}
	for i := range a.items {
		if a.items[i].via != viaLease {
			a.args = a.items[i].appendArgs(a.args)
		}
	}
	return append(to, call{redis.NewIntSliceCmd(ctx, a.args...), n})
}

// appendArgs appends the item's numbers. The pointers keep each from being
// copied to the heap; they live as long as the ask.
func (it *item) appendArgs(args []any) []any {
	return append(args, &it.terms.interval, &it.terms.horizon, &it.need, &it.want, &it.owed, it.via.kind())
}

// posting is the call that charges a bucket, or puts tokens back, without
// asking.
func (r *remote) posting(ctx context.Context, p post) call {
	t := newTerms(p.rule.rate, 1, scale{})
	return call{redis.NewIntSliceCmd(ctx, "evalsha", r.digest, 1, p.key,
		t.interval, t.horizon, 0, 0, p.tokens, "0"), 1}
}

// results reads the reply: one result per bucket.
func (c call) results(a *ask, to []redis_rate.Result) ([]redis_rate.Result, error) {
	reply, err := c.Result()
	if err != nil {
		return to, err
	}
	if len(reply) != repliesEach*c.items {
		return to, fmt.Errorf("cannot read reply: want %d integers, got %d", repliesEach*c.items, len(reply))
	}
	for ; len(reply) > 0; reply = reply[repliesEach:] {
		res := redis_rate.Result{
			Allowed: int(reply[0]), Remaining: int(reply[1]),
			RetryAfter: micros(reply[2]), ResetAfter: micros(reply[3]),
		}
		res.Limit = a.asked(len(to)).rule.rate
		if res.Allowed > 0 {
			res.RetryAfter = -1
		}
		to = append(to, res)
	}
	return to, nil
}

// asked is the nth item that was sent.
func (a *ask) asked(n int) *item {
	for i := range a.items {
		if a.items[i].via == viaLease {
			continue
		}
		if n == 0 {
			return &a.items[i]
		}
		n--
	}
	panic("limiter: more results than questions")
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// questions is the number of buckets that need Redis.
func (a *ask) questions() (n int) {
	for i := range a.items {
		if a.items[i].via != viaLease {
			n++
		}
	}
	return n
}

// keyOf is the bucket of a call for a single one.
func keyOf(c call) string {
	switch key := c.Args()[3].(type) {
	case *string:
		return *key
	case string:
		return key
	}
	return ""
}
