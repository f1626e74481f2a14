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
	return slices.Concat(redisFaults(), nodeFaults(), partitions(), upstreamFaults())
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
			do:   func(st *stage) { st.nodes[2].Signal(syscall.SIGKILL); st.nodes[2].Exit(stopLimit) },
			undo: func(st *stage) { st.start(2) },
		},
		{
			// nginx has handed its requests over, and may not hand them to another one.
			name: "node stopped for 10 s", lasts: 10 * second, promise: promise{stall: 12 * second, factor: usualFactor},
			do:   func(st *stage) { st.nodes[2].Signal(syscall.SIGSTOP) },
			undo: func(st *stage) { st.nodes[2].Signal(syscall.SIGCONT) },
		},
	}
}

// partitions cut one node off.
func partitions() []fault {
	cutRedis := func(st *stage) { st.relays[2].Play(hang, 1) }
	cutPeers := func(st *stage) { st.gossip.Cut.Store(2) }
	heal := func(st *stage) {
		st.gossip.Cut.Store(nobody)
		st.relays[2].Play(sound, 0)
	}
	alone := func(st *stage) bool { v, ok := st.look(2); return ok && v.members == 1 }
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
// sent to the other one.
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
	const instant = 2                // POSTs within the 15 ms that one takes
	const second = usualRate / 6 / 2 // POSTs to one of two upstreams until the route gives up
	return []fault{
		{
			name: "upstream refuses", lasts: 6 * time.Second, seen: func(st *stage) bool { return st.someNode(opened) },
			promise: promise{underWay: true, stall: 1500 * time.Millisecond, factor: usualFactor},
			do:      func(st *stage) { st.upstreams[0].refuse() },
			undo:    func(st *stage) { st.upstreams[0].open() },
		},
		plays("resets in mid-body", resetsMid, instant),
		plays("answers garbage", garbles, instant),
		plays("is slow", dawdles, second),
		plays("half-closes instead of answering", halfCloseNo, instant),
	}
}
