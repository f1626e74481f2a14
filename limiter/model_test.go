package limiter

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"

	"github.com/go-api-gateway-pro/gateway/limiter/gcra"
)

// model is what one bucket should hold by package gcra.
type model struct {
	rule *rule
	tat  int64
}

// op is one use of the script: so many tokens owed, then need to want of them
// taken.
type op struct{ owed, need, want int }

// apply is what the script should do and answer.
func (m *model) apply(now int64, o op) redis_rate.Result {
	switch {
	case o.owed > 0:
		m.tat = gcra.Charge(m.tat, now, m.rule.gcra, o.owed)
	case o.owed < 0:
		m.tat = gcra.Refund(m.tat, now, m.rule.gcra, -o.owed)
	}
	var r gcra.Result
	granted := 0
	if o.need == 0 {
		m.tat, r = gcra.Take(m.tat, now, m.rule.gcra, 0)
	} else {
		m.tat, granted, r = gcra.TakeAtMost(m.tat, now, m.rule.gcra, o.need, o.want)
	}
	if m.tat <= now {
		m.tat = 0 // Redis keeps no full buckets, so a clock set back finds it full
	}
	return redis_rate.Result{Allowed: granted, Remaining: r.Remaining, RetryAfter: r.RetryAfter, ResetAfter: r.ResetAfter}
}

// run sends the op to Redis.
func (m *model) run(t *testing.T, r *remote, o op) redis_rate.Result {
	t.Helper()
	a := newAsk()
	a.add(m.rule, "k", max(o.need, 1))
	it := &a.items[0]
	it.need, it.want, it.owed, it.via, it.terms = o.need, o.want, o.owed, viaRefill, newTerms(m.rule.rate, max(o.need, 1), scale{})
	calls := r.questions(context.Background(), nil, a)
	r.exec(t.Context(), calls)
	r.repeat(t.Context(), calls)
	got, err := calls[0].results(a, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

// The script does as package gcra does: takes, grants, charges and refunds in
// any order, under a clock that stands, steps and goes back.
func TestScriptEqualsModelInAllItDoes(t *testing.T) {
	f := func(name string, step func(*rand.Rand) time.Duration) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(12) {
				compare(t, rand.New(rand.NewPCG(seed, 1)), step)
			}
		})
	}
	f("frozen", func(*rand.Rand) time.Duration { return 0 })
	f("stepping", func(r *rand.Rand) time.Duration { return time.Duration(r.IntN(200_000)) * time.Microsecond })
	f("backward", func(r *rand.Rand) time.Duration { return time.Duration(r.IntN(300_000)-100_000) * time.Microsecond })
}

func compare(t *testing.T, rng *rand.Rand, step func(*rand.Rand) time.Duration) {
	t.Helper()
	s := newServer(t)
	l := newQuiet(t, s, nil)
	rates := []int{1, 2, 4, 8, 10, 50, 100} // whole microseconds a token
	limit := perSecond("m", ScopeUser, rates[rng.IntN(len(rates))], 1+rng.IntN(30))
	m := &model{rule: l.rules.get(limit)}
	origin := s.at.Add(-time.Hour)
	for i := range 60 {
		s.step(step(rng))
		o := randomOp(rng, limit.Burst)
		want := m.apply(int64(s.at.Sub(origin)), o)
		got := m.run(t, l.remote, o)
		if got.RetryAfter < 0 {
			got.RetryAfter = 0
		}
		if got.Allowed != want.Allowed || got.Remaining != want.Remaining ||
			(got.RetryAfter-want.RetryAfter).Abs() > 2*time.Microsecond ||
			(got.ResetAfter-want.ResetAfter).Abs() > 2*time.Microsecond {
			t.Fatalf("%d/s, burst %d, op %d %+v: script says %+v, model says %+v", limit.Rate, limit.Burst, i, o, got, want)
		}
	}
}

func randomOp(rng *rand.Rand, burst int) op {
	var o op
	if rng.IntN(4) == 0 {
		o.owed = rng.IntN(burst+3) - burst/2
	}
	if rng.IntN(4) > 0 {
		o.need = 1 + rng.IntN(burst)
		o.want = o.need + rng.IntN(burst)
	}
	return o
}
