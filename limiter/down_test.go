package limiter

import (
	"testing"
	"time"
)

func TestOnRedisDown(t *testing.T) {
	f := func(mode string, admits int, source, denier Source) {
		t.Helper()
		s := newServer(t)
		l := newQuiet(t, s, func(o *Options) { o.Size = func() int { return 2 } })
		limit := perSecond("r", ScopeUser, 1, 10)
		limit.OnRedisDown = mode
		b := Bucket{Limit: limit, Key: "ann"}
		outage(l)
		got := 0
		for range 20 {
			d := l.Check(t.Context(), []Bucket{b})
			want := denier
			if d.Allowed {
				got, want = got+1, source
			}
			if d.Source != want || !d.Allowed && d.RetryAfter <= 0 {
				t.Errorf("%q: got %+v, want source %s", mode, d, want)
			}
		}
		if got != admits {
			t.Errorf("%q: admitted %d of 20, want %d", mode, got, admits)
		}
	}
	f("", 5, SourceLocal, SourceLocal)
	f(DownShare, 5, SourceLocal, SourceLocal)
	f(DownOpen, 20, SourceOpen, SourceNone)
	f(DownClosed, 0, SourceNone, SourceClosed)
}

// What an open limit let through is owed as far as a bucket can owe.
func TestOpenLimitIsSettled(t *testing.T) {
	s := newServer(t)
	l := newQuiet(t, s, nil)
	limit := perSecond("r", ScopeUser, 1, 10)
	limit.OnRedisDown = DownOpen
	b := Bucket{Limit: limit, Key: "ann"}
	end := outage(l)
	admitted(t, l, 50, b)
	end()
	if left := s.tokensIn(t, b); left != 0 {
		t.Errorf("%d left, want none", left)
	}
}

func TestShadowDeniesNothing(t *testing.T) {
	check := func(t *testing.T, l *Limiter) {
		t.Helper()
		real, shadow := perSecond("real", ScopeUser, 1, 8), perSecond("shadow", ScopeIP, 1, 3)
		shadow.Shadow = true
		b := []Bucket{{Limit: real, Key: "ann"}, {Limit: shadow, Key: "::1"}}
		for i := range 10 {
			d := l.Check(t.Context(), b)
			wantShadow := i >= 3
			if d.Allowed != (i < 8) || d.Allowed && (d.Shadow != nil) != wantShadow {
				t.Errorf("request %d: got %+v, want allowed %v, shadowed %v", i, d, i < 8, wantShadow)
			}
			if d.Limit == nil || d.Limit.ID != "real" {
				t.Errorf("request %d: the client is told of %+v", i, d.Limit)
			}
		}
	}
	s := newServer(t)
	t.Run("redis", func(t *testing.T) { check(t, newTest(t, s.on)) })
	t.Run("local", func(t *testing.T) { check(t, newTest(t, func(o *Options) { o.Now = s.clients.now })) })
}

// A check that Redis does not answer in time is denied if the last answer was
// no, else decided by the share.
func TestLateChecksFollowTheLastAnswer(t *testing.T) {
	s := newServer(t)
	p := &proxy{target: s.Addr()}
	l := newTest(t, func(o *Options) {
		s.on(o)
		o.Config.Addrs = []string{fakeRedis(t, p.serve)}
		o.Config.BudgetMS = 200
	})
	full, empty := Bucket{Limit: perSecond("full", ScopeUser, 100, 100), Key: "ann"}, Bucket{Limit: perSecond("empty", ScopeUser, 100, 5), Key: "ann"}
	other := newTest(t, s.on)
	admitted(t, l, 1, full)
	admitted(t, other, 5, empty) // this node's own share is untouched
	if d := l.Check(t.Context(), []Bucket{empty}); d.Allowed {
		t.Fatalf("got %+v, want denied", d)
	}
	s.add(12 * time.Millisecond) // no longer believed without asking
	p.stalled.Store(true)
	if d := l.Check(t.Context(), []Bucket{empty}); d.Allowed || d.Source != SourceLocal || d.RetryAfter <= 0 {
		t.Errorf("late, last answer no: got %+v, want denied", d)
	}
	if d := l.Check(t.Context(), []Bucket{full}); !d.Allowed || d.Source != SourceLocal {
		t.Errorf("late, last answer yes: got %+v, want allowed by the share", d)
	}
}
