package accuracy

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// scenario is one run: a fresh cluster, loads, faults, and the figures to meet.
type scenario struct {
	name    string
	loads   []load // the first is the one that is judged
	lasts   time.Duration
	relayed bool    // nodes reach Redis and each other through plugs that can be pulled
	orphan  bool    // the nodes start without a Redis
	rival   policy  // stands in for the gateway; nil: the gateway
	script  []step  // in order of time
	checks  []check // the lines of the table
}

// step is something that happens to a running cluster.
type step struct {
	at   time.Duration // since the load began
	mark string        // by which checks name this moment
	do   func(*stage)  // nil: only the mark
}

// limit is one rate limit on a route of its own.
type limit struct {
	name   string // the route's first segment
	keyBy  string
	rate   int    // tokens per period
	per    string // period; empty: second
	burst  int
	cost   int // of a request; 0: 1
	strict bool
	global bool // the cluster's own, not the route's
}

func (l limit) tokens() int { return max(l.cost, 1) }

// perSecond is the rate in tokens a second.
func (l limit) perSecond() float64 {
	switch l.per {
	case "minute":
		return float64(l.rate) / 60
	case "hour":
		return float64(l.rate) / 3600
	default:
		return float64(l.rate)
	}
}

// path is where client number key of this limit asks.
func (l limit) path(key int) string { return "/" + l.name + "/" + strconv.Itoa(key) }

func (l limit) owns(path string) bool { return strings.HasPrefix(path, "/"+l.name+"/") }

// due is what may be admitted in a time that begins with a full bucket, in
// requests.
func (l limit) due(t time.Duration) float64 {
	return (float64(l.burst) + l.perSecond()*t.Seconds()) / float64(l.tokens())
}

// leased is Σk, the most that all nodes together hold of this bucket.
func (l limit) leased() float64 {
	if l.strict {
		return 0
	}
	return float64(l.burst) / 4
}

// yaml are the limit's keys in a gateway's configuration.
func (l limit) yaml() string {
	var keys strings.Builder
	fmt.Fprintf(&keys, "key_by: %s, burst: %d", l.keyBy, l.burst)
	if l.per == "" {
		fmt.Fprintf(&keys, ", rps: %d", l.rate)
	} else {
		fmt.Fprintf(&keys, ", rate: %d, per: %s", l.rate, l.per)
	}
	if l.cost > 0 {
		fmt.Fprintf(&keys, ", cost: %d", l.cost)
	}
	if l.strict {
		keys.WriteString(", strict: true")
	}
	return keys.String()
}

// String tells the load in the table.
func (s scenario) String() string {
	l := s.loads[0]
	text := fmt.Sprintf("R=%s B=%d, %.0f/s %s", l.limit.rateText(), l.limit.burst, l.rate, spread(l.skew))
	if s.rival == nil && l.limit.strict {
		text += ", strict"
	}
	for _, other := range s.loads[1:] {
		text += fmt.Sprintf(" + %.0f/s on %d keys", other.rate, other.keys)
	}
	return text
}

func (l limit) rateText() string {
	if l.per == "" {
		return strconv.Itoa(l.rate)
	}
	return strconv.Itoa(l.rate) + "/" + l.per
}

func spread(skew []float64) string {
	var parts []string
	for _, share := range skew {
		if share != skew[0] {
			for _, s := range skew {
				parts = append(parts, fmt.Sprintf("%.0f", 100*s))
			}
			return strings.Join(parts, "/")
		}
	}
	return "even"
}
