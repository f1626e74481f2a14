package limiter

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-redis/redis_rate/v10"

	"github.com/go-api-gateway-pro/gateway/limiter/gcra"
)

// maxRules bounds the compiled limits of a caller who makes a new Limit for
// every check, which is slow but must not eat the memory.
const maxRules = 16384

// rule is a Limit with everything that depends on it alone worked out.
type rule struct {
	limit    *Limit
	gcra     gcra.Limit
	rate     redis_rate.Limit
	prefix   string // of all its keys in Redis
	interval string // seconds per token, as the script wants it
	burst    string
	scope    int
}

func newRule(limit *Limit, prefix string) *rule {
	rate := redis_rate.Limit{Rate: limit.Rate, Burst: limit.Burst, Period: limit.Period}
	return &rule{
		limit:    limit,
		gcra:     limit.gcra(),
		rate:     rate,
		prefix:   prefix + escape(limit.ID) + ":",
		interval: strconv.FormatFloat(rate.Period.Seconds()/float64(rate.Rate), 'f', -1, 64),
		burst:    strconv.Itoa(rate.Burst),
		scope:    scopeIndex(limit.Scope),
	}
}

// rules are the compiled limits, by the address of the Limit. Safe for
// concurrent use.
type rules struct {
	prefix string
	byPtr  sync.Map // *Limit → *rule
	count  atomic.Int64
}

func newRules(keyPrefix string) *rules {
	return &rules{prefix: redisPrefix + escape(keyPrefix) + ":"}
}

func (s *rules) get(limit *Limit) *rule {
	if r, ok := s.byPtr.Load(limit); ok {
		return r.(*rule)
	}
	if s.count.Load() >= maxRules {
		s.forget()
	}
	r, loaded := s.byPtr.LoadOrStore(limit, newRule(limit, s.prefix))
	if !loaded {
		s.count.Add(1)
	}
	return r.(*rule)
}

// forget drops everything; what is still in use is compiled again.
func (s *rules) forget() {
	s.count.Store(0)
	s.byPtr.Clear()
}

// escape makes a part of a key free of the separator, so that no two pairs of
// id and key can name the same bucket.
func escape(part string) string {
	return strings.NewReplacer("%", "%25", ":", "%3A").Replace(part)
}
