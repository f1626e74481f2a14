package accuracy

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// The marks scripts set and checks read.
const (
	markDown     = "down"     // Redis is about to go
	markDetected = "detected" // every node limits on its own
	markUp       = "up"       // Redis is about to come back
	markFault    = "fault"    // something lesser is about to happen
	markHot      = "hot"      // the key is found to be hot, its burst is spent
)

const second = time.Second

// check is one line of the table: a figure of a run and where it has to lie. A
// miss on a busy machine, or of a load that could not be offered, tells nothing,
// unless the check is firm.
type check struct {
	what   string
	lo, hi float64
	figure func(*run) reading
	firm   bool
}

// reading is a figure and how it is shown. A reason makes it worth nothing.
type reading struct {
	value  float64
	shown  string
	reason string
}

func judged(what string, lo, hi float64, figure func(*run) reading) check {
	return check{what: what, lo: lo, hi: hi, figure: figure}
}

// firm makes a miss a miss whatever the machine did.
func firm(c check) check {
	c.firm = true
	return c
}

// promise tells where the figure has to lie.
func (c check) promise() string {
	switch {
	case math.IsInf(c.hi, 1) && math.IsInf(c.lo, -1):
		return ""
	case math.IsInf(c.hi, 1):
		return "≥ " + short(c.lo)
	case math.IsInf(c.lo, -1):
		return "≤ " + short(c.hi)
	case c.lo == c.hi:
		return short(c.lo)
	default:
		return short(c.lo) + " … " + short(c.hi)
	}
}

func short(v float64) string {
	return strconv.FormatFloat(math.Round(1000*v)/1000, 'f', -1, 64)
}

func percent(part float64) string { return fmt.Sprintf("%.2f %%", 100*part) }

func ratio(v float64, of string) reading {
	return reading{value: v, shown: fmt.Sprintf("%.4f%s", v, of)}
}

// admitted is what arrived, against what one exact bucket may let through in the
// whole run.
func admitted(lo, hi float64) check {
	return judged("admitted / (B + R·T)", lo, hi, func(r *run) reading {
		return ratio(float64(len(r.admitted))/r.scenario.loads[0].due(r.lasted), "")
	})
}

// admittedOver is the same where Redis may forget the bucket a number of times:
// each gives another burst.
func admittedOver(bursts int, lo, hi float64) check {
	what := fmt.Sprintf("admitted / (%d B + R·T)", bursts)
	return judged(what, lo, hi, func(r *run) reading {
		l := r.scenario.loads[0].limit
		extra := float64((bursts-1)*l.burst) / float64(l.tokens())
		return ratio(float64(len(r.admitted))/(l.due(r.lasted)+extra), "")
	})
}

// admittedBetween is what arrived between two marks against R·t: the burst was
// spent before.
func admittedBetween(from, to string, lo, hi float64) check {
	what := fmt.Sprintf("admitted / (R·t), %s to %s", from, to)
	return judged(what, lo, hi, func(r *run) reading {
		first, last := r.moments(from, to)
		l := r.scenario.loads[0].limit
		due := l.perSecond() * (last - first).Seconds() / float64(l.tokens())
		return ratio(float64(len(within(r.admitted, first, last)))/due, "")
	})
}

// admittedOfExact compares with what an exact bucket admits of these very
// requests: where the burst is small, random gaps cost even that one something.
func admittedOfExact(lo, hi float64) check {
	return judged("admitted / exact bucket", lo, hi, func(r *run) reading {
		best := exact(r.tally.sent, r.scenario.loads[0].limit)
		return ratio(float64(len(r.admitted))/float64(best), fmt.Sprintf(" of %d", best))
	})
}

// anyWindow is the smallest burst that explains what arrived, of every window w,
// against B + Σk. What the machine delays arrives together, and what was admitted
// passes the scheduler twice, in the gateway and in the upstream: as much as R grants
// in twice the worst delay of a plain timer is not the limiter's.
func anyWindow() check {
	return judged("max over w of (admitted − R·w) / (B + Σk)", math.Inf(-1), 1, func(r *run) reading {
		l := r.scenario.loads[0].limit
		found := surplus(r.admitted, l.perSecond()/float64(l.tokens())) * float64(l.tokens())
		noise := l.perSecond() * 2 * r.noise.worst.Seconds()
		value := max(0, found-noise) / (float64(l.burst) + l.leased())
		return ratio(value, fmt.Sprintf(" (timers: %.0f ms late at worst)", r.noise.worst.Seconds()*1000))
	})
}

// worstClient is what the client that got most got, against its own bucket.
func worstClient(hi float64) check {
	return judged("worst client: admitted / (B + R·T)", math.Inf(-1), hi, func(r *run) reading {
		most := 0
		for _, at := range r.clients {
			most = max(most, len(at))
		}
		return ratio(float64(most)/math.Floor(r.scenario.loads[0].limit.due(r.lasted)), "")
	})
}

// scriptsPerSecond is what Redis counted itself, from when the key was hot.
func scriptsPerSecond(hi float64) check {
	return judged("scripts/s to Redis, once hot", math.Inf(-1), hi, func(r *run) reading {
		hot, end := r.marks[markHot], r.marks[markEnd]
		v := (end.scripts - hot.scripts) / (end.at - hot.at).Seconds()
		return reading{value: v, shown: fmt.Sprintf("%.0f", v)}
	})
}

// scriptsPerRequest counts all requests of all loads.
func scriptsPerRequest(hi float64) check {
	return judged("scripts per request", math.Inf(-1), hi, func(r *run) reading {
		return ratio((r.marks[markEnd].scripts-r.marks[markBegin].scripts)/float64(len(r.tally.sent)+len(r.others.sent)), "")
	})
}

// serverErrors are answers of 500 and above, and none at all.
func serverErrors() check {
	return firm(judged("5xx", 0, 0, func(r *run) reading {
		n := r.tally.failed + r.others.failed
		return reading{value: float64(n), shown: strconv.Itoa(n)}
	}))
}

// tail is the limiter's own p99.9 between two marks: at most one check in a
// thousand over budget and spare time. Where plain timers are as late, twice as
// many more may be: a check passes the scheduler on its way there and back.
func tail(from, to string) check {
	what := fmt.Sprintf("checks over %s, %s to %s, %%", budget+spare, from, to)
	return judged(what, math.Inf(-1), 0.1, func(r *run) reading {
		if r.noise.late > timersLimit {
			return reading{reason: percent(r.noise.late) + " of plain timers as late"}
		}
		if r.noise.busy > busyLimit {
			return reading{reason: r.noise.tooBusy()}
		}
		late, all := r.marks[to].overBudget()
		lateBefore, allBefore := r.marks[from].overBudget()
		part := (late - lateBefore) / (all - allBefore)
		return reading{
			value: 100 * (part - 2*r.noise.late),
			shown: fmt.Sprintf("%.3f of %.0f (timers: %.3f)", 100*part, all-allBefore, 100*r.noise.late),
		}
	})
}

// switchDown is the worst second around the loss of Redis beyond R, against B and
// what R grants until every node has noticed.
func switchDown(hi float64) check {
	return judged("1 s excess at switch-down / (B + R·t_detect)", math.Inf(-1), hi, func(r *run) reading {
		down, detected := r.moments(markDown, markDetected)
		l := r.scenario.loads[0].limit
		over := excess(within(r.admitted, down-second, down+3*second), l.perSecond())
		detect := detected - down
		return ratio(over/l.due(detect), fmt.Sprintf(" (%.0f, t_detect %s)", over, detect.Round(time.Millisecond)))
	})
}

// recovery is the worst second around the return of Redis beyond R, against B. It
// tells nothing unless every node has returned.
func recovery(hi float64) check {
	return judged("1 s excess at recovery / B", math.Inf(-1), hi, func(r *run) reading {
		if !r.returned() {
			return reading{reason: "not every node came back to Redis"}
		}
		up, end := r.moments(markUp, markEnd)
		l := r.scenario.loads[0].limit
		over := excess(within(r.admitted, up-second, end), l.perSecond())
		return ratio(over/float64(l.burst), fmt.Sprintf(" (%.0f)", over))
	})
}

// slowCalls is the part of calls that came over budget or broke, as the nodes saw
// it. A fault that was not there would prove nothing.
func slowCalls() check {
	return judged("calls late or broken (the fault is there)", .02, 1, func(r *run) reading {
		calls := func(outcome string) float64 {
			name, label := "gateway_limiter_redis_calls_total", `outcome="`+outcome+`"`
			return r.marks[markEnd].sum(name, label) - r.marks[markFault].sum(name, label)
		}
		bad := calls("timeout") + calls("error")
		return ratio(bad/max(1, bad+calls("ok")), "")
	})
}

// switches is how often a node went on without a Redis that was there, to explain
// what the other lines show.
func switches() check {
	return judged("switches to local shares", math.Inf(-1), math.Inf(1), func(r *run) reading {
		const name, local = "gateway_limiter_mode_switches_total", `to="local"`
		n := r.marks[markEnd].sum(name, local) - r.marks[markBegin].sum(name, local)
		return reading{value: n, shown: fmt.Sprintf("%.0f", n)}
	})
}

// evicted makes sure that the fault was there.
func evicted() check {
	return judged("keys evicted (the fault is there)", 1, math.Inf(1), func(r *run) reading {
		return reading{value: r.evictions, shown: fmt.Sprintf("%.0f", r.evictions)}
	})
}

// seen lets the table show a figure without judging it.
func seen(c check) check {
	c.lo, c.hi = math.Inf(-1), math.Inf(1)
	return c
}

// slowest is the slowest answer a client got.
func slowest() check {
	return judged("slowest answer", math.Inf(-1), math.Inf(1), func(r *run) reading {
		return reading{shown: r.tally.slow.Round(time.Millisecond).String()}
	})
}
