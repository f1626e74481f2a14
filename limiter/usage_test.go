package limiter

import (
	"math"
	"testing"
	"time"
)

// What is shown follows the emptiest bucket, ages by itself and costs no question.
func TestUsage(t *testing.T) {
	c := &clock{}
	l := newTest(t, func(o *Options) { o.Now = c.now })
	limit := perSecond("u", ScopeUser, 10, 20)
	f := func(wantUsed float64, wantDenied uint64) {
		t.Helper()
		if u := l.Usage()["u"]; math.Abs(u.Used-wantUsed) > 0.001 || u.Denied != wantDenied {
			t.Errorf("used %.3f, denied %d; want %.3f, %d", u.Used, u.Denied, wantUsed, wantDenied)
		}
	}
	f(0, 0)
	admitted(t, l, 5, Bucket{Limit: limit, Key: "a"})
	f(0.25, 0)
	admitted(t, l, 2, Bucket{Limit: limit, Key: "b"}) // a fuller bucket changes nothing
	f(0.25, 0)
	admitted(t, l, 18, Bucket{Limit: limit, Key: "a"})
	f(1, 3)
	c.add(time.Second)
	f(0.5, 3)
	c.add(time.Minute)
	f(0, 3)

	// Other numbers under the same name start anew; what was denied stays counted.
	admitted(t, l, 1, Bucket{Limit: perSecond("u", ScopeUser, 1, 4), Key: "a"})
	f(0.25, 3)
	l.Retain(map[string]bool{})
	f(0, 0)
}

// Redis and the tokens drawn ahead of demand are read alike.
func TestUsageWithRedis(t *testing.T) {
	s := newServer(t)
	l := newTest(t, s.on)
	limit := perSecond("g", ScopeGlobal, 1, 10)
	passed := admitted(t, l, 30, Bucket{Limit: limit})
	u := l.Usage()["g"]
	if u.Used < 0.85 || u.Used > 1 || u.Denied != uint64(30-passed) {
		t.Errorf("used %.3f, denied %d after %d of 30 passed", u.Used, u.Denied, passed)
	}
	decisions := l.Decisions()
	if decisions["redis"] == 0 || decisions["local"] != 0 {
		t.Errorf("decisions are %v", decisions)
	}
	var sum uint64
	for _, n := range decisions {
		sum += n
	}
	if sum != 30 {
		t.Errorf("%d decisions for 30 checks: %v", sum, decisions)
	}
}
