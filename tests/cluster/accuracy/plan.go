package accuracy

import (
	"math"
	"slices"
	"time"
)

const (
	rate  = 1000     // tokens a second of the judged limits
	burst = 1000     // and their burst
	flood = 3 * rate // the demand: three times what may pass
)

// hot is the limit most scenarios are about: one bucket that everybody shares.
func hot() limit { return limit{name: "hot", keyBy: "global", rate: rate, burst: burst} }

func strict() limit {
	l := hot()
	l.name, l.strict = "strict", true
	return l
}

// on is a load of three times the rate on one bucket.
func on(l limit, skew []float64) []load { return []load{{limit: l, rate: flood, skew: skew, keys: 1}} }

func none() float64 { return math.Inf(-1) }

// plan is every scenario of the table, in its order.
func plan() []scenario {
	return slices.Concat(steady(), outages(), slowRedis(), lostState(), partitions(), rivals())
}

// smoke is the one scenario that every test run plays: a bound that holds on any
// machine, with a slow load.
func smoke() []scenario {
	l := limit{name: "smoke", keyBy: "global", rate: 100, burst: 50}
	return []scenario{{
		name: "smoke", loads: []load{{limit: l, rate: 600, skew: even(size), keys: 1}}, lasts: 1500 * time.Millisecond,
		// A machine too busy to ask Redis in time lets nodes admit their shares too.
		checks: []check{firm(admitted(none(), 2)), admitted(.5, 2), serverErrors()},
	}}
}

// warm marks when the burst is spent and every node has found the hot key.
func warm() []step { return []step{{second, markHot, nil}} }

// steady is a Redis in good health.
func steady() []scenario {
	whole := limit{name: "whole", keyBy: "global", rate: rate, burst: burst, global: true}
	ips := limit{name: "ip", keyBy: "ip", rate: rate, burst: burst}
	single := limit{name: "single", keyBy: "global", rate: 50, burst: 1}
	costly := limit{name: "costly", keyBy: "global", rate: rate, burst: 10, cost: 9}
	cold := limit{name: "cold", keyBy: "ip", rate: 10, burst: 10}
	small := limit{name: "small", keyBy: "ip", rate: 10, burst: 10}
	banned := limit{name: "banned", keyBy: "ip", rate: 1, per: "minute", burst: 1}
	return []scenario{
		{name: "leases, even", loads: on(hot(), even(size)), lasts: 8 * second, script: warm(), checks: []check{admitted(.985, 1.001), anyWindow(), scriptsPerSecond(60), serverErrors()}},
		{name: "leases, skewed", loads: on(hot(), skewed()), lasts: 8 * second, script: warm(), checks: []check{admitted(.985, 1.001), anyWindow(), scriptsPerSecond(60), serverErrors()}},
		{name: "leases, the cluster's own limit", loads: on(whole, even(size)), lasts: 4 * second, script: warm(), checks: []check{admitted(.985, 1.001), scriptsPerSecond(60)}},
		{name: "leases, one hot address", loads: on(ips, even(size)), lasts: 4 * second, script: warm(), checks: []check{admitted(.985, 1.001), scriptsPerSecond(60)}},
		{name: "strict, even", loads: on(strict(), even(size)), lasts: 5 * second, checks: []check{admitted(.99, 1.001), anyWindow(), seen(scriptsPerRequest(1))}},
		{name: "strict, skewed", loads: on(strict(), skewed()), lasts: 5 * second, checks: []check{admitted(.99, 1.001), anyWindow(), seen(scriptsPerRequest(1))}},
		{name: "cold keys", loads: []load{{limit: cold, rate: 1000, skew: even(size)}}, lasts: 4 * second, checks: []check{scriptsPerRequest(1.001), serverErrors()}},
		{name: "sixty addresses, a bucket each", loads: []load{{limit: small, rate: 1800, skew: even(size), keys: 60}}, lasts: 4 * second, checks: []check{admitted(.96, 1.001), worstClient(1)}},
		{name: "burst of 1", loads: []load{{limit: single, rate: 150, skew: even(size), keys: 1}}, lasts: 5 * second, checks: []check{admitted(none(), 1.001), admittedOfExact(.95, 1.01)}},
		{name: "cost near the burst", loads: on(costly, even(size)), lasts: 4 * second, checks: []check{admitted(none(), 1.001), admittedOfExact(.95, 1.01)}},
		{
			// The heaviest load, hence the likeliest to have a node go local when the machine
			// pauses. Each time costs some R·τ: the line is about what that comes to.
			name: "flood of denied addresses beside a hot key", lasts: 15 * second, script: warm(),
			loads:  []load{on(hot(), even(size))[0], {limit: banned, rate: 2000, skew: even(size), keys: 100}},
			checks: []check{admitted(.985, 1.001), scriptsPerSecond(60 + size*100), serverErrors(), switches()},
		},
	}
}

// outages take Redis away for ten seconds and give it back. Nodes ask for it ever
// more rarely, every 5 s at most: the load lasts as long as that and a bit.
func outages() []scenario {
	const down, up = 3 * second, 13 * second
	lost := func(name string, skew []float64, lo float64, gone, back func(*stage)) scenario {
		return scenario{
			name: name, loads: on(hot(), skew), lasts: 20 * second,
			script: []step{{down, markDown, gone}, {down, "", detect}, {down, markDetected, nil}, {up, markUp, back}},
			checks: []check{
				admittedBetween(markDown, markUp, lo, 1.02), serverErrors(), tail(markDown, markUp),
				switchDown(.05), recovery(.4),
			},
		}
	}
	rolling := []step{{2 * second, markDown, kill}, {3 * second, "", restart(0)}, {5 * second, "", restart(1)}, {7 * second, "", restart(2)}, {11 * second, markUp, nil}}
	return []scenario{
		lost("Redis killed, even", even(size), .95, kill, start),
		lost("Redis killed, skewed", skewed(), .80, kill, start),
		lost("Redis stopped, even; SIGCONT with a backlog", even(size), .95, stop, cont),
		{
			name: "start during an outage", loads: on(hot(), even(size)), lasts: 6 * second, orphan: true,
			checks: []check{admitted(.95, 1.02), serverErrors()},
		},
		{
			name: "rolling restart during an outage", loads: on(hot(), even(size)), lasts: 11500 * time.Millisecond, script: rolling,
			// Each node that starts anew has its share of the burst anew.
			checks: []check{admittedOver(2, none(), 1.02), admittedBetween(markDown, markUp, .80, 1.13), serverErrors()},
		},
	}
}

// slowRedis is a Redis that answers, but not as it should.
func slowRedis() []scenario {
	harmed := func(name string, do func(*stage), checks ...check) scenario {
		return scenario{
			name: name, loads: on(hot(), even(size)), lasts: 5 * second, relayed: true,
			script: []step{{second, markFault, do}},
			checks: append([]check{admitted(.80, 1.1), serverErrors()}, checks...),
		}
	}
	return []scenario{
		harmed("5 % of calls over budget", between(faultSlow, .05), tail(markFault, markEnd), slowCalls()),
		harmed("20 % of calls over budget", between(faultSlow, .20), tail(markFault, markEnd), slowCalls()),
		harmed("45 % of calls over budget", between(faultSlow, .45), tail(markFault, markEnd), slowCalls()),
		harmed("replies break off in the middle", between(faultMidReply, .5), tail(markFault, markEnd), slowCalls()),
		harmed("Redis swallows everything", between(faultHang, 1), tail(markFault, markEnd), slowCalls()),
		harmed("Redis refuses connections", refuse, tail(markFault, markEnd)),
	}
}

// lostState is a Redis that forgets.
func lostState() []scenario {
	forgetful := func(name string, do func(*stage), checks ...check) scenario {
		return scenario{
			name: name, loads: on(hot(), even(size)), lasts: 6 * second,
			script: []step{{2 * second, markFault, do}},
			checks: append(checks, serverErrors()),
		}
	}
	return []scenario{
		forgetful("FLUSHALL under load", flush, admittedOver(2, .86, 1.001), seen(admitted(0, 0))),
		// Redis tells ages to the second: a bucket in use is as likely to go as another key.
		forgetful("eviction (allkeys-lru)", evict, admittedOver(2, .86, 1.001), seen(admitted(0, 0)), evicted()),
		forgetful("out of memory (noeviction)", exhaust, admitted(.95, 1.02)),
	}
}

// partitions take one of three nodes away from Redis, from its peers, from both.
// What was leased before the cut may be used after it: 2 % are above the rate.
func partitions() []scenario {
	cut := func(name string, do func(*stage), hi float64) scenario {
		return scenario{
			name: name, loads: on(hot(), even(size)), lasts: 9 * second, relayed: true,
			script: []step{{2 * second, markFault, do}},
			checks: []check{admittedBetween(markFault, markEnd, .95, hi), serverErrors()},
		}
	}
	return []scenario{
		cut("one node cut off from Redis", cutRedis(size-1), 1.02),
		cut("one node cut off from its peers", cutPeers(size-1), 1.02),
		// Nobody can know of such a node: R·(1 + m/N).
		cut("one node cut off from both", cutBoth(size-1), 1+1./size+.02),
	}
}

// rivals are what others do, under the same load.
func rivals() []scenario {
	in := func(name string, p policy, lasts time.Duration, script []step, checks ...check) scenario {
		return scenario{name: name, loads: on(hot(), even(size)), lasts: lasts, rival: p, script: script, checks: checks}
	}
	outage := func(gone, back func(*stage)) []step {
		return []step{{2 * second, markDown, gone}, {2 * second, markDetected, nil}, {6 * second, markUp, back}}
	}
	well := []check{seen(admitted(0, 0)), seen(scriptsPerSecond(0)), seen(serverErrors()), slowest()}
	ill := []check{seen(admittedBetween(markDown, markUp, 0, 0)), seen(serverErrors()), slowest(), seen(switchDown(0)), seen(recovery(0))}
	return []scenario{
		in("rival: three redis_rate calls in a row", sequential, 4*second, warm(), well...),
		in("rival: redis_rate pipelined", pipelined, 4*second, warm(), well...),
		in("rival: three redis_rate calls, Redis stopped", sequential, 8*second, outage(stop, cont), ill...),
		in("rival: fail-open, Redis killed", failOpen, 8*second, outage(kill, start), ill...),
		in("rival: cold R/N, Redis killed", coldShare, 8*second, outage(kill, start), ill...),
	}
}
