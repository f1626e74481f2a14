package accuracy

import "syscall"

// What can happen to a stage. Each is one step of a script.

func kill(st *stage)  { st.redis.kill() }
func start(st *stage) { st.redis.start() }
func stop(st *stage)  { st.redis.signal(syscall.SIGSTOP) }
func cont(st *stage)  { st.redis.signal(syscall.SIGCONT) }
func flush(st *stage) { st.redis.do("FLUSHALL") }

// evict leaves Redis so little memory that it forgets keys by age, and writes
// what makes it do so.
func evict(st *stage) {
	st.redis.do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	st.redis.do("CONFIG", "SET", "maxmemory", "8mb")
	st.redis.fill(16)
}

// exhaust leaves Redis no memory at all: every write is refused.
func exhaust(st *stage) {
	st.redis.do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	st.redis.do("CONFIG", "SET", "maxmemory", "1")
}

// every node's way to Redis.
func between(f fault, share float64) func(*stage) {
	return func(st *stage) {
		for _, r := range st.relays {
			r.play(f, share)
		}
	}
}

func refuse(st *stage) {
	for _, r := range st.relays {
		r.refuse()
	}
}

// cutRedis takes the way to Redis from one node.
func cutRedis(i int) func(*stage) {
	return func(st *stage) { st.relays[i].play(faultHang, 1) }
}

// cutPeers takes the other nodes from one node.
func cutPeers(i int) func(*stage) {
	return func(st *stage) { st.gossip.cut.Store(int32(i)) }
}

func cutBoth(i int) func(*stage) {
	return func(st *stage) {
		cutPeers(i)(st)
		cutRedis(i)(st)
	}
}

func restart(i int) func(*stage) {
	return func(st *stage) { st.restart(i) }
}

func detect(st *stage) { st.awaitLocal() }
