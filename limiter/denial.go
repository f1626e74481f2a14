package limiter

import (
	"time"

	"github.com/go-redis/redis_rate/v10"
)

// denialLife bounds how long a denial is believed without asking: tokens put
// back or a limit raised elsewhere are seen a second later at the latest.
const denialLife = int64(time.Second)

// denial is the last answer of Redis, if it was no. Until the missing tokens
// have arrived the same request, or one that costs more, is denied without
// asking: a flood against an empty bucket costs Redis nothing. It counts from
// when the question was sent, so it never outlasts the truth.
type denial struct {
	rule  *rule // that was asked by; another one means another limit
	cost  int
	until int64 // believed until then
	retry int64 // when the cost fits
	reset int64 // when the bucket is full
}

// note keeps an answer to a question sent at the given time.
func (d *denial) note(it *item, sent int64, r redis_rate.Result) {
	if r.Allowed > 0 {
		*d = denial{}
		return
	}
	*d = denial{
		rule: it.rule, cost: it.cost,
		retry: sent + int64(r.RetryAfter), reset: sent + int64(r.ResetAfter),
	}
	d.until = min(d.retry, sent+denialLife)
}

// holds tells whether the item is denied without asking.
func (d *denial) holds(it *item, now int64) bool {
	return now < d.until && d.rule == it.rule && it.cost >= d.cost
}

// result is the denial of an item, as seen at now.
func (d *denial) result(it *item, now int64) redis_rate.Result {
	r, dearer := it.rule, int64(it.cost-d.cost)
	return redis_rate.Result{
		Limit: r.rate, Remaining: r.left(d.reset - now),
		RetryAfter: time.Duration(max(d.retry+dearer*r.interval()-now, 1)),
		ResetAfter: time.Duration(max(d.reset-now, 0)),
	}
}

// fresh is how long to wait if the last answer was no and is recent, else 0. It
// serves where Redis was asked and is late: unlike holds it still says no for a
// moment after the tokens should have arrived, because others want them too.
func (d *denial) fresh(now int64) int64 {
	if d.rule == nil || now >= max(d.retry, d.until)+denialLife/10 {
		return 0
	}
	return max(d.retry-now, int64(time.Millisecond))
}
