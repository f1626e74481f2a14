package limiter

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"

	"github.com/go-api-gateway-pro/gateway/limiter/gcra"
)

// maxRules bounds the compiled limits of a caller who makes a new Limit for
// every check, which is slow but must not eat the memory.
const maxRules = 16384

// rule is a Limit with everything that depends on it alone worked out. Equal
// Limits have one rule, so what is remembered under a rule outlives a reload
// that left the limit as it was, and is void after one that changed it.
type rule struct {
	limit  Limit
	gcra   gcra.Limit
	rate   redis_rate.Limit
	prefix string // of all its keys in Redis
	scope  int
	text   atomic.Pointer[terms]
	usage  usage
}

// terms are a rule's numbers as the script wants them, for one cost and one
// scale.
type terms struct {
	cost     int
	scale    scale
	interval string // seconds per token
	horizon  string // seconds an empty bucket takes to fill
}

// scale is the part of a limit that members with Redis leave to those without:
// they keep (members-away)/members of it.
type scale struct{ members, away int }

func newRule(limit Limit, prefix string) *rule {
	return &rule{
		limit:  limit,
		gcra:   limit.gcra(),
		rate:   redis_rate.Limit{Rate: limit.Rate, Burst: limit.Burst, Period: limit.Period},
		prefix: prefix + escape(limit.ID) + ":",
		scope:  scopeIndex(limit.Scope),
	}
}

// terms returns what it worked out last, which nearly always fits.
func (r *rule) terms(cost int, s scale) *terms {
	if t := r.text.Load(); t != nil && t.cost == cost && t.scale == s {
		return t
	}
	t := newTerms(r.rate, cost, s)
	r.text.Store(t)
	return t
}

// newTerms scales rate and burst alike: then the time an empty bucket takes to
// fill stays what it is, and with it the meaning of the stored time. Only where
// the scaled burst is below the cost is it more, or the cost could never fit.
func newTerms(rate redis_rate.Limit, cost int, s scale) *terms {
	token := rate.Period.Seconds() / float64(rate.Rate)
	horizon := token * float64(rate.Burst)
	if s.away > 0 {
		token *= float64(s.members) / float64(s.members-s.away)
	}
	return &terms{
		cost: cost, scale: s,
		interval: strconv.FormatFloat(token, 'f', -1, 64),
		horizon:  strconv.FormatFloat(max(horizon, min(float64(cost), float64(rate.Burst))*token), 'f', -1, 64),
	}
}

// interval is the time one token takes to arrive, in nanoseconds.
func (r *rule) interval() int64 { return int64(r.gcra.Interval()) }

// fill is the time an empty bucket takes to fill, in nanoseconds.
func (r *rule) fill() int64 { return r.interval() * int64(r.limit.Burst) }

// left is how many whole tokens a bucket holds that will be full in so many
// nanoseconds; Redis told the time in microseconds.
func (r *rule) left(untilFull int64) int {
	there := r.fill() - max(untilFull, 0) + int64(time.Microsecond)
	return int(max(there, 0) / r.interval())
}

// rules are the compiled limits, by the address of the Limit and by its value.
// Safe for concurrent use.
type rules struct {
	prefix string
	byPtr  sync.Map // *Limit → *rule
	count  atomic.Int64

	mu      sync.Mutex
	byValue map[Limit]*rule
}

func newRules(keyPrefix string) *rules {
	return &rules{prefix: redisPrefix + escape(keyPrefix) + ":", byValue: map[Limit]*rule{}}
}

func (s *rules) get(limit *Limit) *rule {
	if r, ok := s.byPtr.Load(limit); ok {
		return r.(*rule)
	}
	if s.count.Load() >= maxRules {
		s.retain(nil)
	}
	r, loaded := s.byPtr.LoadOrStore(limit, s.equal(*limit))
	if !loaded {
		s.count.Add(1)
	}
	return r.(*rule)
}

// equal returns the rule of the limit's value.
func (s *rules) equal(limit Limit) *rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.byValue[limit]
	if !ok {
		r = newRule(limit, s.prefix)
		s.byValue[limit] = r
	}
	return r
}

// retain drops the addresses, which are looked up again, and the values of all
// limits that are not named.
func (s *rules) retain(ids map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for limit := range s.byValue {
		if !ids[limit.ID] {
			delete(s.byValue, limit)
		}
	}
	s.count.Store(0)
	s.byPtr.Clear()
}

// escape makes a part of a key free of the separator, so that no two pairs of
// id and key can name the same bucket.
func escape(part string) string {
	return strings.NewReplacer("%", "%25", ":", "%3A").Replace(part)
}
