package node

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-api-gateway-pro/gateway/cluster"
	"github.com/go-api-gateway-pro/gateway/limiter"
)

const (
	statusEvery = time.Second
	statusTTL   = 10 * time.Second

	// A member of which nothing was heard for silentAfter has missed a row. Gossip
	// takes some seconds more to find out that it is dead.
	silentAfter = 1600 * time.Millisecond
	silentEvery = 200 * time.Millisecond
)

// status is the row about itself that each node shows the others. Of all in it
// only the mode decides anything: the others leave a node without Redis its share.
type status struct {
	UptimeS  int64        `json:"uptime_s"`
	Mode     string       `json:"mode"`
	Health   int          `json:"health_score"`
	RPS      uint64       `json:"rps"`
	P99MS    float64      `json:"p99_ms"`
	Errors   uint64       `json:"errors_5xx"`
	Limited  uint64       `json:"answers_429,omitempty"`
	Draining bool         `json:"draining,omitempty"`
	Config   configStatus `json:"config"`

	age time.Duration // since the row came

	// Of the last second; marks name routes and limits.
	Decisions map[string]uint64 `json:"decisions,omitempty"` // by source
	Routes    [][3]uint64       `json:"routes,omitempty"`    // mark, requests, 5xx
	Limits    [][3]uint64       `json:"limits,omitempty"`    // mark, promille taken of the emptiest bucket, denied
}

// publish shares this node's row every second until ctx ends.
func (n *Node) publish(ctx context.Context) {
	ticker := time.NewTicker(statusEvery)
	defer ticker.Stop()
	lookAround := time.NewTicker(silentEvery)
	defer lookAround.Stop()
	meter := &meter{now: map[string]uint64{}}
	second, silent := n.measure(meter), 0
	n.publishOnce(second)
	for {
		select {
		case <-ctx.Done():
			return
		case <-lookAround.C:
			if now := n.silentMembers(); now != silent {
				silent = now
				n.admin.Publish()
			}
			continue
		case <-ticker.C:
			second = n.measure(meter)
			n.board.remember(n.liveStatuses())
		case <-n.modeChanged: // the others make room at once, or take it back
		}
		n.publishOnce(second)
	}
}

// silentMembers counts the other members that have missed a row.
func (n *Node) silentMembers() (count int) {
	for name, s := range n.liveStatuses() {
		if s.isSilent() && name != n.name {
			count++
		}
	}
	return count
}

func (s *status) isSilent() bool { return s.age >= silentAfter }

// announceMode has the mode published without waiting for the next second.
func (n *Node) announceMode() {
	select {
	case n.modeChanged <- struct{}{}:
	default: // already on its way
	}
}

// size is how many members the cluster has, or ought to have by its addresses.
func (n *Node) size() int { return max(n.peer.Size(), n.peer.Expected()) }

// localOthers counts the other live members that limit locally.
func (n *Node) localOthers() (count int) {
	for name, s := range n.liveStatuses() {
		if name != n.name && s.Mode == limiter.ModeLocal {
			count++
		}
	}
	return count
}

// publishOnce shares the row, then shows whoever looks what has changed.
func (n *Node) publishOnce(second *measure) {
	row, err := json.Marshal(n.ownStatus(second))
	if err != nil {
		n.logger.Error().Err(err).Msg("cannot encode the node's status")
		return
	}
	n.share(n.statuses.Set(row))
	n.watchDrift()
	n.board.measured(second)
	n.board.note(n.scene(), n.now())
	n.admin.Publish()
}

func (n *Node) ownStatus(r *measure) status {
	return status{
		UptimeS:  int64(n.now().Sub(n.started).Seconds()),
		Mode:     n.limiter.Mode(),
		Health:   n.peer.HealthScore(),
		RPS:      r.requests,
		P99MS:    float64(r.p99.Microseconds()) / 1000,
		Errors:   r.errors,
		Limited:  r.limited,
		Draining: n.draining.Load(),
		Config:   n.configStatus(),

		Decisions: r.decisions, Routes: r.tellRoutes(), Limits: r.tellLimits(),
	}
}

// memberNames lists the live members, this node among them.
func (n *Node) memberNames() []string {
	members := n.peer.Members()
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.Name
	}
	return names
}

// watchDrift counts the configurations that live members run and logs when they
// start and cease to differ, and who runs which.
func (n *Node) watchDrift() {
	running, statuses := map[string][]string{}, n.liveStatuses()
	for _, name := range slices.Sorted(maps.Keys(statuses)) {
		hash := statuses[name].Config.Hash
		running[hash] = append(running[hash], name)
	}
	n.drift.Set(float64(len(running)))
	drifted := len(running) > 1
	if drifted == n.drifted.Swap(drifted) {
		return
	}
	if drifted {
		n.logger.Warn().Int("versions", len(running)).Any("members", running).Msg("members run different configurations")
		return
	}
	n.logger.Info().Msg("all members run the same configuration")
}

// liveStatuses returns the newest row of every live member, by name.
func (n *Node) liveStatuses() map[string]status {
	live := map[string]bool{}
	for _, m := range n.peer.Members() {
		live[m.Name] = true
	}
	n.statuses.Retain(func(owner string) bool { return live[owner] || owner == n.name })
	rows := slices.DeleteFunc(n.statuses.All(), func(r cluster.Row) bool { return !live[r.Owner] })
	return n.decoded.all(rows)
}

// statusCache remembers what rows say: a limited request asks every tenth of a
// second, they change once in one. Safe for concurrent use.
type statusCache struct {
	mu   sync.Mutex
	rows map[string]decodedStatus
}

type decodedStatus struct {
	version uint64
	status  status
	bad     bool // no row of ours
}

// all decodes what it has not seen yet and forgets what is not among the rows.
func (c *statusCache) all(rows []cluster.Row) map[string]status {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, out := make(map[string]decodedStatus, len(rows)), make(map[string]status, len(rows))
	for _, row := range rows {
		d, seen := c.rows[row.Owner]
		if !seen || d.version != row.Version {
			d = decodedStatus{version: row.Version}
			d.bad = json.Unmarshal(row.Payload, &d.status) != nil
		}
		known[row.Owner] = d
		if s := d.status; !d.bad {
			s.age = statusTTL - row.Remaining
			out[row.Owner] = s
		}
	}
	c.rows = known
	return out
}
