package faults

import (
	"slices"
	"syscall"
	"time"
)

const second = time.Second

// quiet is what most faults may cost: nothing that a client notices.
func quiet() promise { return promise{stall: second, factor: usualFactor} }

// forgetful is the same of a Redis that comes back empty: another burst.
func forgetful() promise { return promise{stall: second, factor: usualFactor, bursts: 1} }

// plan is every fault, in the order of the table.
func plan() []fault {
	return slices.Concat(redisFaults(), nodeFaults(), partitions(), upstreamFaults(), besides(), clocks(), changes())
}

// smoke is what every test run plays: bounds that hold on any machine.
func smoke() []fault {
	brief := func(f fault) fault {
		f.rate, f.lasts, f.promise.stall, f.promise.factor = 60, second, answerLimit, 2
		return f
	}
	return []fault{brief(redisFaults()[0]), brief(upstreamFaults()[0])}
}

func local(v view) bool       { return v.limits == "local" }
func opened(v view) bool      { return v.open > 0 }
func allLocal(st *stage) bool { return st.everyNode(local) }

// redisFaults take Redis away or make it worse than none.
func redisFaults() []fault {
	relays := func(do func(*stage, int)) func(*stage) {
		return func(st *stage) {
			for i := range st.relays {
				do(st, i)
			}
		}
	}
	return []fault{
		{
			name: "redis killed", lasts: 6 * second, promise: forgetful(), seen: allLocal,
			do:   func(st *stage) { st.redis.Kill() },
			undo: func(st *stage) { st.redis.Start() },
		},
		{
			name: "redis stopped", lasts: 6 * second, promise: quiet(), seen: allLocal,
			do:   func(st *stage) { st.redis.Signal(syscall.SIGSTOP) },
			undo: func(st *stage) { st.redis.Signal(syscall.SIGCONT) },
		},
		{
			name: "redis slow", lasts: 6 * second, promise: slowly(), seen: allLocal,
			do:   relays(func(st *stage, i int) { st.relays[i].Play(slow, 1) }),
			undo: relays(func(st *stage, i int) { st.relays[i].Play(sound, 0) }),
		},
		{
			name: "redis refuses", lasts: 6 * second, promise: quiet(), seen: allLocal,
			do:   relays(func(st *stage, i int) { st.relays[i].Refuse() }),
			undo: relays(func(st *stage, i int) { st.relays[i].Open() }),
		},
		{
			name: "redis out of memory", lasts: 6 * second, promise: quiet(), seen: allLocal,
			do: func(st *stage) {
				st.redis.Do("CONFIG", "SET", "maxmemory-policy", "noeviction")
				st.redis.Do("CONFIG", "SET", "maxmemory", "1")
			},
			undo: func(st *stage) { st.redis.Do("CONFIG", "SET", "maxmemory", "0") },
		},
		{
			// It is over when the sentinels have made the replica the master.
			name: "redis fails over", sentinel: true, promise: quiet(), seen: allLocal,
			do: func(st *stage) { st.redis.Kill() },
		},
	}
}

// slowly is the promise where calls come late: what shares admit while late
// charges are on their way.
func slowly() promise { return promise{stall: second, factor: 1.1} }

// nodeFaults befall one node of three.
func nodeFaults() []fault {
	return []fault{
		{
			name: "node killed", lasts: 6 * second, promise: promise{underWay: true, stall: second, factor: usualFactor},
			do:   func(st *stage) { st.nodes[last].Signal(syscall.SIGKILL); st.nodes[last].Exit(stopLimit) },
			undo: func(st *stage) { st.start(last) },
		},
		{
			// nginx has handed requests over and may not hand them to another node: they
			// wait. The deadline of those that were read passes meanwhile: a 504. When it goes
			// on, its checks are late as with a slow Redis, and its share has filled up.
			name: "node stopped for 10 s", lasts: 10 * second, promise: promise{underWay: true, stall: 12 * second, factor: slowly().factor},
			do:   func(st *stage) { st.nodes[last].Signal(syscall.SIGSTOP) },
			undo: func(st *stage) { st.nodes[last].Signal(syscall.SIGCONT) },
		},
		{
			// Descriptors come back when the crowd's time to send a request, 5 s, is over.
			// Until then the node opens no connection to Redis either: some calls fail.
			name: "node out of descriptors", lasts: 8 * second, promise: promise{stall: 7 * second, factor: slowly().factor},
			do:   (*stage).exhaust,
			undo: (*stage).relieve,
			seen: func(st *stage) bool { _, answers := st.look(last); return !answers },
		},
		{
			name: "disk full under a node's log", fullDisk: true, lasts: 6 * second, promise: quiet(), do: nothing,
			seen: func(st *stage) bool { return st.nodes[last].Metrics().Sum("gateway_log_dropped_total") > 0 },
		},
	}
}

// nothing is done where the fault is there from the start.
func nothing(*stage) {}

// besides is what no request needs.
func besides() []fault {
	lost := func(st *stage) bool { return st.nodes[last].Metrics().Sum("gateway_trace_spans_dropped_total") > 0 }
	return []fault{
		{
			name: "trace collector refuses", traced: true, lasts: 8 * second, promise: quiet(), seen: lost,
			do:   func(st *stage) { st.collector.Refuse() },
			undo: func(st *stage) { st.collector.Open() },
		},
		{
			name: "trace collector hangs", traced: true, lasts: 8 * second, promise: quiet(), seen: lost,
			do:   func(st *stage) { st.collector.Play(hang, 1) },
			undo: func(st *stage) { st.collector.Play(sound, 0) },
		},
		{name: "configuration broken", lasts: 4 * second, promise: quiet(), seen: refused, do: breakFile, undo: restore},
		{
			name: "configuration half-written", lasts: 4 * second, promise: quiet(), seen: refused, do: halve,
			undo: func(st *stage) { st.write(st.nodes[last].File, st.configs[last]) },
		},
		{
			name: "configuration swapped by a link", lasts: 4 * second, promise: quiet(),
			do:   func(st *stage) { st.link("..v1", st.configs[last]); st.link("..v2", st.other(last, 1)) },
			undo: func(st *stage) { st.link("..v3", st.configs[last]) },
			seen: func(st *stage) bool { return st.someNode(func(v view) bool { return v.versions == 2 }) },
		},
	}
}

// clocks step and come back. A bucket whose clock leaps ahead is full once more.
func clocks() []fault {
	const step = time.Hour
	redis := func(name string, by time.Duration) fault {
		return fault{
			name: name, stepped: true, lasts: 5 * second, promise: forgetful(),
			do:   func(st *stage) { st.redisClock.set(st.tb, by) },
			undo: func(st *stage) { st.redisClock.set(st.tb, 0) },
			seen: func(st *stage) bool { return time.Until(st.redis.Time()).Round(time.Minute) == by },
		}
	}
	node := func(name string, by time.Duration) fault {
		return fault{
			name: name, inside: true, lasts: 5 * second, promise: quiet(),
			do:   func(st *stage) { st.nodeClock.Store(int64(by)) },
			undo: func(st *stage) { st.nodeClock.Store(0) },
		}
	}
	return []fault{
		redis("redis' clock an hour ahead", step), redis("redis' clock an hour behind", -step),
		node("a node's clock an hour ahead", step), node("a node's clock an hour behind", -step),
	}
}

// changes are what operators do on purpose: nothing may fail.
func changes() []fault {
	const many = 1000 // requests a second, so that 20,000 are asked
	return []fault{
		{name: "rolling restart", rate: many, lasts: 20 * second, promise: quiet(), do: rolling},
		{name: "reload, forty times", rate: many, lasts: 20 * second, promise: quiet(), do: reload, undo: func(st *stage) {
			for i := range size {
				st.nodes[i].Replace(st.configs[i])
			}
		}},
		{name: "scale from 3 to 5 to 2", lasts: 10 * second, promise: quiet(), do: scale},
	}
}

// partitions cut one node off.
func partitions() []fault {
	cutRedis := func(st *stage) { st.relays[last].Play(hang, 1) }
	cutPeers := func(st *stage) { st.gossip.Cut.Store(last) }
	heal := func(st *stage) {
		st.gossip.Cut.Store(nobody)
		st.relays[last].Play(sound, 0)
	}
	alone := func(st *stage) bool { v, ok := st.look(last); return ok && v.members == 1 }
	return []fault{
		{name: "node cut off from redis", lasts: 8 * second, promise: quiet(), do: cutRedis, undo: heal, seen: func(st *stage) bool { return st.someNode(local) }},
		{name: "node cut off from its peers", lasts: 15 * second, promise: quiet(), do: cutPeers, undo: heal, seen: alone},
		{
			// Nobody can know of such a node: R·(1 + m/N).
			name: "node cut off from both", lasts: 15 * second, promise: promise{stall: second, factor: 1 + 1./size + .02}, seen: alone,
			do:   func(st *stage) { cutRedis(st); cutPeers(st) },
			undo: heal,
		},
	}
}

// upstreamFaults befall one of two upstreams of a route. A dead backend costs
// three nodes seven failures, those under way and a probe now and then; GETs are
// sent to the other one, unless the answer had begun.
func upstreamFaults() []fault {
	const dead, probes = 7, 6
	plays := func(name string, a act, underWay int) fault {
		return fault{
			name: "upstream " + name, lasts: 6 * second, seen: func(st *stage) bool { return st.someNode(opened) },
			promise: promise{failed: dead + probes + underWay, stall: 1500 * time.Millisecond, factor: usualFactor},
			do:      func(st *stage) { st.upstreams[0].play(a) },
			undo:    func(st *stage) { st.upstreams[0].play(answers) },
		}
	}
	// A third of the load goes to the first upstream, of which a quarter are POSTs.
	// Those under way fail as well, and those that start until the word is there.
	const (
		begun  = int(usualRate / 3 * (workTime + delivery) / time.Second)
		posts  = (begun + 3) / 4
		waited = usualRate / 3 / 4 // POSTs of the second that the route waits
	)
	return []fault{
		{
			name: "upstream refuses", lasts: 6 * time.Second, seen: func(st *stage) bool { return st.someNode(opened) },
			promise: promise{underWay: true, stall: 1500 * time.Millisecond, factor: usualFactor},
			do:      func(st *stage) { st.upstreams[0].refuse() },
			undo:    func(st *stage) { st.upstreams[0].open() },
		},
		plays("resets in mid-body", resetsMid, begun),
		plays("answers garbage", garbles, posts),
		plays("is slow", dawdles, waited),
		plays("half-closes instead of answering", halfCloseNo, posts),
		{
			// An answer is an answer; the connection is of no use any more.
			name: "upstream half-closes after answers", lasts: 6 * time.Second, promise: quiet(),
			do:   func(st *stage) { st.upstreams[0].play(halfCloses) },
			undo: func(st *stage) { st.upstreams[0].play(answers) },
		},
		{
			name: "upstream flaps, each second", promise: promise{failed: flaps * posts, stall: 1500 * time.Millisecond, factor: usualFactor}, do: flap,
		},
	}
}
