package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/cluster/push"
)

// actorOf is a member that runs a configuration in a mode.
func actorOf(mode, hash, result string) actor {
	return actor{status: status{Mode: mode, Config: configStatus{Version: 2, Hash: hash, Result: result}}, address: "10.0.0.1:7946"}
}

func TestChanges(t *testing.T) {
	quiet := func() scene {
		return scene{
			members:  map[string]actor{"a": actorOf("redis", "h1", "ok"), "b": actorOf("redis", "h1", "ok")},
			breakers: map[string]breakerView{"up:80": {State: "closed", By: []string{}}},
			pushes:   map[string]push.Report{"1": {Push: "1", Outcome: push.Committed}},
		}
	}
	f := func(name string, change func(s *scene), want ...string) {
		t.Helper()
		before, after := quiet(), quiet()
		change(&after)
		var got []string
		for _, e := range changes(before, after) {
			got = append(got, fmt.Sprintf("%s %s: %s %s", e.Kind, e.Tone, e.Subject, e.Text))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s gives\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	until := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

	f("nothing", func(*scene) {})
	f("a new member", func(s *scene) { s.members["c"] = actor{address: "10.0.0.3:7946"} }, "member good: c joined at 10.0.0.3:7946")
	f("a dead member", func(s *scene) { delete(s.members, "b") }, "member bad: b is gone")
	f("a drain", func(s *scene) { m := s.members["b"]; m.Draining = true; s.members["b"] = m }, "member plain: b drains before it stops")
	f("Redis lost", func(s *scene) { s.members["b"] = actorOf("local", "h1", "ok") }, "redis bad: b lost Redis, limits by its own share")
	f("a first row", func(s *scene) { s.members["b"] = actor{} })
	f("a drift", func(s *scene) { s.members["b"] = actorOf("redis", "h2345678abc", "ok") },
		"config plain: b runs configuration h2345678, its version 2", "config bad: cluster members run 2 different configurations")
	f("a bad file", func(s *scene) { s.members["a"] = actorOf("redis", "h1", "refused") }, "config bad: a refused a changed file, the old one goes on")
	f("an open breaker", func(s *scene) { s.breakers["up:80"] = breakerView{State: "open", By: []string{"a", "b"}} },
		"breaker bad: up:80 breaker opened, held by a, b")
	f("a suspect", func(s *scene) { s.breakers["up:80"] = breakerView{State: "suspect"} })
	f("a new backend", func(s *scene) { s.breakers["b:80"] = breakerView{State: "closed"} })
	f("an override", func(s *scene) {
		s.breakers["up:80"] = breakerView{State: "closed", Override: &overrideView{State: "closed", By: "a", Until: until}}
	}, "breaker plain: up:80 forced closed through a until 03:04:05 UTC")
	f("a push", func(s *scene) {
		s.pushes["2"] = push.Report{Push: "2", Outcome: push.Refused, Coordinator: "b", Hash: "0123456789abcdef"}
	},
		"push bad: 01234567 push refused, sent through b")
}

// The way back is told as well.
func TestChangesBack(t *testing.T) {
	before := scene{
		members: map[string]actor{"a": actorOf("local", "h1", "ok"), "b": actorOf("redis", "h2", "ok"), "c": {status: status{Draining: true}}},
		breakers: map[string]breakerView{
			"gone:80": {State: "half_open"},
			"up:80":   {State: "half_open", Override: &overrideView{State: "open", By: "a"}},
		},
	}
	after := scene{
		members:  map[string]actor{"a": actorOf("redis", "h1", "ok"), "b": actorOf("redis", "h1", "ok")},
		breakers: map[string]breakerView{"up:80": {State: "closed"}},
	}
	var got []string
	for _, e := range changes(before, after) {
		got = append(got, e.Subject+" "+e.Text)
	}
	want := []string{
		"c left after draining", "a has Redis back", "b runs configuration h1, its version 2",
		"cluster all members run the same configuration",
		"up:80 breaker closed", "up:80 no longer forced open", "gone:80 no longer in use, its breaker was open",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// However long the night: a hundred events, a minute of figures, members that live.
func TestBoardIsBounded(t *testing.T) {
	b := newBoard()
	now := time.Unix(1_800_000_000, 0)
	for i := range 1000 {
		b.note(scene{members: map[string]actor{fmt.Sprint(i): {}}}, now.Add(time.Duration(i)*time.Second))
		b.remember(map[string]status{"a": {RPS: uint64(i), P99MS: 2}, fmt.Sprint(i): {}})
	}
	_, trails, events := b.recall()
	if len(events) != eventsKept || events[0].Subject != "999" || events[0].Text != "joined" || !events[0].At.Equal(now.Add(999*time.Second)) {
		t.Errorf("%d events, the newest %+v", len(events), events[0])
	}
	if a := trails["a"]; len(trails) != 2 || len(a.RPS) != trailLength || len(a.P99MS) != trailLength || a.RPS[trailLength-1] != 999 || a.RPS[0] != 940 {
		t.Errorf("%d trails, that of a is %v", len(trails), a)
	}
}

// What was handed out is not written to afterwards.
func TestTrailsHandedOutStayAsTheyAre(t *testing.T) {
	b := newBoard()
	for i := range 2 * trailLength {
		b.remember(map[string]status{"a": {RPS: uint64(i)}})
	}
	_, trails, _ := b.recall()
	held := slices.Clone(trails["a"].RPS)
	b.remember(map[string]status{"a": {RPS: 7777}})
	if !slices.Equal(trails["a"].RPS, held) {
		t.Error("a trail changed under its reader")
	}
}
