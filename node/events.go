package node

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-api-gateway-pro/gateway/cluster/push"
	"github.com/go-api-gateway-pro/gateway/proxy/breaker"
)

// event is something that happened in the cluster, as this node saw it.
type event struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"` // member, redis, config, push or breaker
	Tone    string    `json:"tone"` // good, bad or plain
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
}

// The tones of an event.
const (
	good  = "good"
	bad   = "bad"
	plain = "plain"
)

// scene is what events are the changes of. The zero value is the time before the
// node ran.
type scene struct {
	members  map[string]actor
	breakers map[string]breakerView
	pushes   map[string]push.Report
}

// actor is a member in a scene; its status is empty until its first row came.
type actor struct {
	status

	address string
}

func (n *Node) scene() scene {
	s := scene{members: map[string]actor{}, breakers: map[string]breakerView{}, pushes: map[string]push.Report{}}
	statuses := n.liveStatuses()
	for _, m := range n.peer.Members() {
		s.members[m.Name] = actor{status: statuses[m.Name], address: m.Address}
	}
	for _, b := range n.backends.Breakers() {
		s.breakers[b.Backend] = viewOf(b)
	}
	for _, r := range n.pusher.Recent() {
		s.pushes[r.Push] = r
	}
	return s
}

// changes lists the events between two scenes, in an order that does not depend
// on chance.
func changes(before, after scene) []event {
	var out []event
	tell := func(kind, tone, subject, format string, args ...any) {
		out = append(out, event{Kind: kind, Tone: tone, Subject: subject, Text: fmt.Sprintf(format, args...)})
	}
	memberChanges(before.members, after.members, tell)
	configChanges(before.members, after.members, tell)
	breakerChanges(before.breakers, after.breakers, tell)
	for _, id := range slices.Sorted(maps.Keys(after.pushes)) {
		if r := after.pushes[id]; r.Outcome != before.pushes[id].Outcome && before.members != nil {
			tone := map[push.Result]string{push.Committed: good, push.Refused: bad, push.Partial: bad}[r.Outcome]
			tell("push", cmp.Or(tone, plain), cmp.Or(shortHash(r.Hash), "configuration"), "push %s, sent through %s", r.Outcome, r.Coordinator)
		}
	}
	return out
}

type teller func(kind, tone, subject, format string, args ...any)

// memberChanges tells who came and went, and who lost Redis.
func memberChanges(before, after map[string]actor, tell teller) {
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, stays := after[name]; stays {
			continue
		}
		if before[name].Draining {
			tell("member", plain, name, "left after draining")
			continue
		}
		tell("member", bad, name, "is gone")
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		now, old := after[name], before[name]
		if _, known := before[name]; !known {
			tell("member", good, name, "joined%s", at(now.address))
		}
		if now.Draining && !old.Draining {
			tell("member", plain, name, "drains before it stops")
		}
		switch {
		case old.Mode == "" || now.Mode == "" || old.Mode == now.Mode:
		case now.Mode == "local":
			tell("redis", bad, name, "lost Redis, limits by its own share")
		default:
			tell("redis", good, name, "has Redis back")
		}
	}
}

func at(address string) string {
	if address == "" {
		return ""
	}
	return " at " + address
}

// configChanges tells who runs something else than before, what was refused, and
// when members begin and cease to differ.
func configChanges(before, after map[string]actor, tell teller) {
	for _, name := range slices.Sorted(maps.Keys(after)) {
		now, old := after[name].Config, before[name].Config
		if old.Hash == "" || now.Hash == "" {
			continue
		}
		if old.Hash != now.Hash {
			tell("config", plain, name, "runs configuration %s, its version %d", shortHash(now.Hash), now.Version)
		}
		if old.Result != now.Result && now.Result == "refused" {
			tell("config", bad, name, "refused a changed file, the old one goes on")
		}
	}
	switch was, is := versions(before), versions(after); {
	case is > 1 && was < 2:
		tell("config", bad, "cluster", "members run %d different configurations", is)
	case is == 1 && was > 1:
		tell("config", good, "cluster", "all members run the same configuration")
	}
}

// versions counts the configurations that members run.
func versions(members map[string]actor) int {
	hashes := map[string]bool{}
	for _, m := range members {
		if m.Config.Hash != "" {
			hashes[m.Config.Hash] = true
		}
	}
	return len(hashes)
}

// breakerChanges tells what opened and closed; trials in between are not news.
func breakerChanges(before, after map[string]breakerView, tell teller) {
	for _, backend := range slices.Sorted(maps.Keys(after)) {
		now, old := after[backend], before[backend]
		switch {
		case now.isOpen() && !old.isOpen():
			tell("breaker", bad, backend, "breaker opened%s", by(now.By))
		case !now.isOpen() && old.isOpen():
			tell("breaker", good, backend, "breaker closed")
		}
		switch {
		case now.Override != nil && (old.Override == nil || *old.Override != *now.Override):
			tell("breaker", plain, backend, "forced %s through %s until %s", now.Override.State, now.Override.By, now.Override.Until.UTC().Format("15:04:05 UTC"))
		case now.Override == nil && old.Override != nil:
			tell("breaker", plain, backend, "no longer forced %s", old.Override.State)
		}
	}
	for _, backend := range slices.Sorted(maps.Keys(before)) {
		if _, stays := after[backend]; !stays && before[backend].isOpen() {
			tell("breaker", plain, backend, "no longer in use, its breaker was open")
		}
	}
}

func (b breakerView) isOpen() bool {
	return b.State == breaker.Open.String() || b.State == breaker.HalfOpen.String()
}

func by(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return ", held by " + strings.Join(names, ", ")
}

func shortHash(hash string) string { return hash[:min(len(hash), 8)] }
