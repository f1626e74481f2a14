package accuracy

import (
	"syscall"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// What the relays to Redis do.
const (
	faultSlow     = harness.Slow
	faultHang     = harness.Hang
	faultMidReply = harness.MidReply
)

// What can happen to a stage. Each is one step of a script.

func kill(st *stage)  { st.redis.Kill() }
func start(st *stage) { st.redis.Start() }
func stop(st *stage)  { st.redis.Signal(syscall.SIGSTOP) }
func cont(st *stage)  { st.redis.Signal(syscall.SIGCONT) }
func flush(st *stage) { st.redis.Do("FLUSHALL") }

// evict leaves Redis so little memory that it forgets keys by age, and writes
// what makes it do so.
func evict(st *stage) {
	st.redis.Do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	st.redis.Do("CONFIG", "SET", "maxmemory", "8mb")
	st.redis.Fill(16)
}

// exhaust leaves Redis no memory at all: every write is refused.
func exhaust(st *stage) {
	st.redis.Do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	st.redis.Do("CONFIG", "SET", "maxmemory", "1")
}

// every node's way to Redis.
func between(f harness.Harm, share float64) func(*stage) {
	return func(st *stage) {
		for _, r := range st.relays {
			r.Play(f, share)
		}
	}
}

func refuse(st *stage) {
	for _, r := range st.relays {
		r.Refuse()
	}
}

// cutRedis takes the way to Redis from one node.
func cutRedis(i int) func(*stage) {
	return func(st *stage) { st.relays[i].Play(faultHang, 1) }
}

// cutPeers takes the other nodes from one node.
func cutPeers(i int) func(*stage) {
	return func(st *stage) { st.gossip.Cut.Store(int32(i)) }
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
