package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-api-gateway-pro/gateway/limiter/gcra"
)

// The model's tokens take ten minutes each, so that what passes while the test
// runs decides nothing. Its time is moved in quarters of that, by moving what is
// stored.
const (
	modelToken = 10 * time.Minute
	modelSlack = modelToken / 8
)

// question is what the script is asked about one bucket.
type question struct{ need, want, owed, kind int }

// answer is what it says: tokens granted and left, time until the need fits and
// until the bucket is full.
type answer struct {
	granted, left int
	retry, full   time.Duration
}

// modelled is a bucket in Redis and what it should hold by package gcra.
type modelled struct {
	key   string
	limit gcra.Limit
	tat   int64
}

const modelNow = int64(1000 * modelToken)

// offer is what the bucket should give, before anything is taken.
func (m *modelled) offer(q question) answer {
	switch {
	case q.owed > 0:
		m.tat = gcra.Charge(m.tat, modelNow, m.limit, q.owed)
	case q.owed < 0:
		m.tat = gcra.Refund(m.tat, modelNow, m.limit, -q.owed)
	}
	var a answer
	var r gcra.Result
	m.tat, r = gcra.Take(m.tat, modelNow, m.limit, 0)
	if q.need > 0 {
		_, a.granted, r = gcra.TakeAtMost(m.tat, modelNow, m.limit, q.need, q.want)
	}
	a.left, a.retry, a.full = r.Remaining, r.RetryAfter, r.ResetAfter
	return a
}

func (a answer) like(b answer) bool {
	return a.granted == b.granted && a.left == b.left &&
		(a.retry-b.retry).Abs() < modelSlack && (a.full-b.full).Abs() < modelSlack
}

// ask runs the script on all buckets at once.
func ask(t *testing.T, client *redis.Client, script string, buckets []*modelled, questions []question) (all []answer) {
	t.Helper()
	var keys []string
	var args []any
	for i, b := range buckets {
		q := questions[i]
		keys = append(keys, b.key)
		args = append(args, modelToken.Seconds(), modelToken.Seconds()*float64(b.limit.Burst), q.need, q.want, q.owed, strconv.Itoa(q.kind))
	}
	reply, err := client.Eval(t.Context(), script, keys, args...).Int64Slice()
	if err != nil || len(reply) != 4*len(buckets) {
		t.Fatalf("cannot run the script: %v, got %v", err, reply)
	}
	for ; len(reply) > 0; reply = reply[4:] {
		all = append(all, answer{
			int(reply[0]), int(reply[1]),
			time.Duration(reply[2]) * time.Microsecond, time.Duration(reply[3]) * time.Microsecond,
		})
	}
	return all
}

// pass lets time pass for the bucket, or go back. A bucket that is full by then
// is forgotten, as it would have expired.
func (m *modelled) pass(t *testing.T, client *redis.Client, d time.Duration) {
	t.Helper()
	if m.tat -= int64(d); m.tat <= modelNow {
		m.tat = 0
		if err := client.Del(t.Context(), m.key).Err(); err != nil {
			t.Fatalf("cannot forget %s: %v", m.key, err)
		}
		return
	}
	stored, err := client.Get(t.Context(), m.key).Float64()
	if err == nil {
		err = client.Set(t.Context(), m.key, strconv.FormatFloat(stored-d.Seconds(), 'g', -1, 64), 0).Err()
	}
	if err != nil {
		t.Fatalf("cannot move %s: %v", m.key, err)
	}
}

// On a real Redis, as on the one that other tests use, the script does as package
// gcra does: requests of several buckets, all or nothing, grants to those drawn
// from ahead, shadows, debts and refunds, in any order.
func scriptEqualsModel(t *testing.T, redis *server) {
	source, err := os.ReadFile("../../limiter/take.lua")
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 7))
		var buckets []*modelled
		for i := range 3 {
			limit := gcra.Limit{Rate: 1, Burst: 1 + rng.IntN(30), Period: modelToken}
			buckets = append(buckets, &modelled{key: fmt.Sprintf("rate:model:%d:%d", seed, i), limit: limit})
		}
		for step := range 60 {
			var questions []question
			for _, b := range buckets {
				b.pass(t, redis.Client, time.Duration(rng.IntN(9)-2)*modelToken/4)
				questions = append(questions, randomQuestion(rng, b.limit.Burst))
			}
			want := decide(buckets, questions)
			for i, got := range ask(t, redis.Client, string(source), buckets, questions) {
				if !got.like(want[i]) {
					t.Fatalf("seed %d, step %d, bucket %d of %d, %+v: the script says %+v, the model %+v",
						seed, step, i, buckets[i].limit.Burst, questions[i], got, want[i])
				}
			}
		}
	}
}

// decide is what the model answers, and does.
func decide(buckets []*modelled, questions []question) (all []answer) {
	fits := true
	for i, b := range buckets {
		all = append(all, b.offer(questions[i]))
		fits = fits && (questions[i].need == 0 || all[i].granted > 0 || questions[i].kind == 2)
	}
	for i, b := range buckets {
		if all[i].granted > 0 && (fits || questions[i].kind == 1) {
			b.tat, _ = gcra.Take(b.tat, modelNow, b.limit, all[i].granted)
		}
		if b.tat <= modelNow {
			b.tat = 0 // Redis keeps no full buckets: time that goes back finds it full
		}
	}
	return all
}

func randomQuestion(rng *rand.Rand, burst int) question {
	q := question{kind: rng.IntN(3)}
	if rng.IntN(4) == 0 {
		q.owed = rng.IntN(burst+3) - burst/2
	}
	if rng.IntN(5) > 0 {
		q.need = 1 + rng.IntN(min(burst, 4))
		q.want = q.need
	}
	if q.kind == 1 && q.need > 0 {
		q.want += rng.IntN(burst)
	}
	return q
}
