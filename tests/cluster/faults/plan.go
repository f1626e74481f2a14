package faults

import (
	"slices"
	"syscall"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/cluster/rig"
)

const second = time.Second

// plan is every fault of the table, in its order.
func plan() []fault {
	return slices.Concat(redisFaults(), nodeFaults(), upstreamFaults(), configFaults(), machineFaults(), deployments())
}

// but is the usual bound with a change.
func but(change func(*bound)) bound {
	b := promised()
	change(&b)
	return b
}

func failing(e excuse) bound { return but(func(b *bound) { b.excuse = e }) }

func over(most float64) bound { return but(func(b *bound) { b.over = most }) }

// forgot is what a Redis that lost its buckets may cost: two fifths of a burst, once.
const forgot = 1.04

// redisFaults are Redis' own and those of the way there.
func redisFaults() []fault {
	ways := func(do func(*rig.Relay)) func(*stage) {
		return func(st *stage) {
			for _, r := range st.relays {
				do(r)
			}
		}
	}
	play := func(h rig.Harm, share float64) func(*stage) {
		return ways(func(r *rig.Relay) { r.Play(h, share) })
	}
	return []fault{
		{
			name: "Redis killed (SIGKILL), started 5 s later", bound: over(forgot), lasts: 5 * second,
			do: func(st *stage) { st.redis.Kill() }, undo: func(st *stage) { st.redis.Start() },
		},
		{
			name: "Redis stopped (SIGSTOP) for 5 s", bound: promised(), lasts: 5 * second,
			do: func(st *stage) { st.redis.Signal(syscall.SIGSTOP) }, undo: func(st *stage) { st.redis.Signal(syscall.SIGCONT) },
		},
		{
			name: "Redis slow: every third reply 30 ms over budget", bound: over(1.1), lasts: 5 * second,
			do: play(rig.SlowReplies, .33), undo: play(rig.Harmless, 0),
		},
		{
			name: "Redis refuses connections for 5 s", bound: promised(), lasts: 5 * second,
			do: ways((*rig.Relay).Refuse), undo: ways((*rig.Relay).Open),
		},
		{
			name: "Redis out of memory for 5 s (noeviction)", bound: promised(), lasts: 5 * second,
			do: func(st *stage) {
				st.redis.Do("CONFIG", "SET", "maxmemory-policy", "noeviction")
				st.redis.Do("CONFIG", "SET", "maxmemory", "1")
			},
			undo: func(st *stage) { st.redis.Do("CONFIG", "SET", "maxmemory", "0") },
		},
		{
			name: "Redis fails over: the master of three sentinels killed", bound: over(forgot), guarded: true, lasts: second,
			do: func(st *stage) { st.redis.Kill() },
		},
	}
}

// nodeFaults befall one of three nodes.
func nodeFaults() []fault {
	const victim = size - 1
	return []fault{
		{
			name: "node killed (SIGKILL), started 3 s later", bound: failing(inFlight()), lasts: 3 * second,
			do:   func(st *stage) { st.nodes[victim].signal(syscall.SIGKILL) },
			undo: func(st *stage) { st.nodes[victim].start() },
		},
		{
			// Who waits for it waits as long as it is stopped.
			name: "node stopped (SIGSTOP) for 10 s", bound: but(func(b *bound) { b.stall = 12 * second }), lasts: 10 * second,
			do:   func(st *stage) { st.nodes[victim].signal(syscall.SIGSTOP) },
			undo: func(st *stage) { st.nodes[victim].signal(syscall.SIGCONT) },
		},
		{
			name: "node cut off from its peers for 8 s", bound: promised(), lasts: 8 * second,
			do: func(st *stage) { st.gossip.Cut(victim) }, undo: func(st *stage) { st.gossip.Heal() },
		},
		{
			name: "node cut off from Redis for 8 s", bound: promised(), lasts: 8 * second,
			do:   func(st *stage) { st.relays[victim].Play(rig.Swallow, 1) },
			undo: func(st *stage) { st.relays[victim].Play(rig.Harmless, 0) },
		},
		{
			// Nobody can know of such a node: R·(1 + m/N).
			name: "node cut off from both for 8 s", bound: over(1 + 1./size + .02), lasts: 8 * second,
			do: func(st *stage) {
				st.gossip.Cut(victim)
				st.relays[victim].Play(rig.Swallow, 1)
			},
			undo: func(st *stage) {
				st.gossip.Heal()
				st.relays[victim].Play(rig.Harmless, 0)
			},
		},
	}
}

// untilOpen is what one sick endpoint of two may cost until its breakers are open:
// seven failures, and what was on its way meanwhile.
const untilOpen = 15

// upstreamFaults befall one of two endpoints. What may be sent again is sent to the
// other.
func upstreamFaults() []fault {
	sick := func(name string, m mischief, e excuse) fault {
		return fault{
			name: "upstream " + name + " for 5 s", bound: failing(e), lasts: 5 * second,
			do: func(st *stage) { st.sick.play(m) }, undo: func(st *stage) { st.sick.play(wellBehaved) },
		}
	}
	flap := func(st *stage) {
		for range 8 {
			st.sick.refuse()
			time.Sleep(300 * time.Millisecond)
			st.sick.open()
			time.Sleep(300 * time.Millisecond)
		}
	}
	return []fault{
		{
			name: "upstream refuses connections for 5 s", bound: failing(inFlight()), lasts: 5 * second,
			do: func(st *stage) { st.sick.refuse() }, undo: func(st *stage) { st.sick.open() },
		},
		sick("breaks answers off in the middle", breaksOff, few(untilOpen)),
		sick("answers rubbish", talksRubbish, few(untilOpen)),
		sick("half-closes without an answer", halfCloses, few(untilOpen)),
		sick("answers after the timeout", dawdles, few(untilOpen)),
		{name: "upstream comes and goes every 0.3 s", bound: failing(few(untilOpen)), do: flap},
	}
}

// configFaults befall the configuration of every node.
func configFaults() []fault {
	each := func(do func(*node)) func(*stage) {
		return func(st *stage) {
			for _, n := range st.nodes[:size] {
				do(n)
			}
		}
	}
	halved := func(n *node) {
		text := n.text()
		n.write(n.file, text[:len(text)/2])
		time.Sleep(300 * time.Millisecond)
		n.write(n.file, text)
	}
	var good []string
	return []fault{
		{
			name: "configuration broken for 3 s", bound: promised(), lasts: 3 * second,
			do: each(func(n *node) {
				good = append(good, n.text())
				n.replace("routes: [")
			}),
			undo: each(func(n *node) {
				n.replace(good[0])
				good = good[1:]
			}),
		},
		{name: "configuration half-written in place, then whole", bound: promised(), lasts: second, do: each(halved)},
		{name: "configuration replaced by a symbolic link swap", bound: promised(), lasts: second, do: each((*node).relink)},
		{
			name: "twenty reloads, a request each millisecond", bound: promised(), dense: true, lasts: second,
			do: func(st *stage) {
				for i := range 20 {
					each(func(n *node) { n.replace(n.text() + "# once more\n") })(st)
					time.Sleep(time.Duration(800+10*i) * time.Millisecond)
				}
			},
		},
	}
}

// machineFaults befall what a node stands on.
func machineFaults() []fault {
	hang := func(on bool) func(*stage) { return func(st *stage) { st.collector.hanging.Store(on) } }
	return []fault{
		{name: "collector takes traces and never answers, for 5 s", bound: promised(), lasts: 5 * second, do: hang(true), undo: hang(false)},
		{
			// Connections wait in the kernel, and with them who sent them. An upstream to which
			// there is no connection yet cannot be reached.
			name: "no file descriptor left for 5 s", bound: but(func(b *bound) { b.stall, b.excuse = 7*second, few(untilOpen) }), lasts: 5 * second,
			do:   func(st *stage) { st.nodes[0].descriptors(1) },
			undo: func(st *stage) { st.nodes[0].descriptors(4096) },
		},
		{name: "disk full under the log", bound: promised(), log: "/dev/full", lasts: 5 * second, do: func(*stage) {}},
	}
}

// deployments are no faults, and should not be felt.
func deployments() []fault {
	rolling := func(st *stage) {
		for _, n := range st.nodes[:size] {
			n.stop()
			n.start()
		}
	}
	scale := func(st *stage) {
		st.join(size, largest)
		st.front.follow(st.entries(largest))
		time.Sleep(4 * second)
		st.members.Store(2)
		for _, n := range st.nodes[2:] {
			n.signal(syscall.SIGTERM)
		}
		time.Sleep(second)
		st.front.follow(st.entries(2))
		for _, n := range st.nodes[2:] {
			n.stop()
		}
	}
	return []fault{
		{name: "rolling restart, a request each millisecond", bound: promised(), dense: true, lasts: 10 * second, do: rolling},
		{name: "scaled from 3 nodes to 5 and to 2", bound: promised(), lasts: second, do: scale},
	}
}
