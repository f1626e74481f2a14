package proxy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// slotsOf returns idle endpoints of the given weights.
func slotsOf(weights ...int) []*slot {
	var out []*slot
	for i, w := range weights {
		e := &endpoint{addr: fmt.Sprintf("192.0.2.%d:80", i), id: hash(fmt.Sprintf("192.0.2.%d:80", i))}
		e.gate.resize(100)
		out = append(out, &slot{endpoint: e, weight: w})
	}
	return out
}

// shares returns how often each slot is chosen, in per cent.
func shares(slots []*slot, n int, choose func(i int) int) []float64 {
	out := make([]float64, len(slots))
	for i := range n {
		out[choose(i)] += 100 / float64(n)
	}
	return out
}

func near(t *testing.T, what string, got []float64, want ...float64) {
	t.Helper()
	for i := range want {
		if math.Abs(got[i]-want[i]) > 2 {
			t.Errorf("%s: got %.1f, want about %v", what, got, want)
			return
		}
	}
}

func TestIdleEndpointsAreUsedByWeight(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	f := func(weights []int, want ...float64) {
		t.Helper()
		slots := slotsOf(weights...)
		near(t, "p2c", shares(slots, 20_000, func(int) int { return lessLoadedOfTwo(slots, random.Float64) }), want...)
		near(t, "hash", shares(slots, 20_000, func(i int) int { return rendezvous(slots, hash(fmt.Sprint("user", i))) }), want...)
		v := &view{}
		near(t, "round robin", shares(slots, 20_000, func(int) int { return v.nextInTurn(slots) }), want...)
	}
	f([]int{1, 1}, 50, 50)
	f([]int{1, 1, 1, 1}, 25, 25, 25, 25)
	f([]int{3, 1}, 75, 25)
	f([]int{5, 1, 4}, 50, 10, 40)
	f([]int{1000, 1}, 99.9, 0.1)
}

// Requests that do not end show how p2c spreads load: by weight, and nobody far
// above their share.
func TestP2CSpreadsLoadByWeight(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	slots := slotsOf(1, 1, 2, 4)
	for range 800 {
		slots[lessLoadedOfTwo(slots, random.Float64)].gate.inside.Add(1)
	}
	for i, want := range []int32{100, 100, 200, 400} {
		if got := slots[i].gate.inside.Load(); got < want*9/10 || got > want*11/10 {
			t.Errorf("endpoint %d has %d requests, want about %d", i, got, want)
		}
	}
}

func TestP2CAvoidsTheSlow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	slots := slotsOf(1, 1)
	slots[0].gate.inside.Add(1)
	for range 100 {
		if lessLoadedOfTwo(slots, random.Float64) != 1 {
			t.Fatal("the busy one of two was chosen")
		}
	}
}

func TestWeightedRoundRobinIsSmooth(t *testing.T) {
	slots, v := slotsOf(5, 1, 1), &view{}
	var order strings.Builder
	for range 14 {
		order.WriteByte("abc"[v.nextInTurn(slots)])
	}
	if got := order.String(); got != "aabacaaaabacaa" {
		t.Errorf("got %s", got)
	}
}

// What moves when endpoints come and go: the keys of the one that went, and the
// share of the one that came.
func TestHashMovesLittle(t *testing.T) {
	const keys = 10_000
	f := func(before, after []*slot, wantShare float64, mayMove func(from, to *slot) bool) {
		t.Helper()
		moved := 0
		for i := range keys {
			key := hash(fmt.Sprint("key", i))
			from, to := before[rendezvous(before, key)], after[rendezvous(after, key)]
			if from == to {
				continue
			}
			if moved++; !mayMove(from, to) {
				t.Fatalf("key %d moved from %s to %s", i, from.addr, to.addr)
			}
		}
		if share := float64(moved) / keys; math.Abs(share-wantShare) > 0.02 {
			t.Errorf("%.3f of the keys moved, want about %.3f", share, wantShare)
		}
	}
	ten := slotsOf(1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	f(ten, ten[:9], 0.1, func(from, _ *slot) bool { return from == ten[9] })
	f(ten[:9], ten, 0.1, func(_, to *slot) bool { return to == ten[9] })
	reversed := slices.Clone(ten)
	slices.Reverse(reversed)
	f(ten, reversed, 0, nil)
}

// All nodes of a cluster must agree, whatever version they run.
func TestHashStaysAsItIs(t *testing.T) {
	if got, same := hash("alice"), hash([]byte("alice")); got != same || got != 0x3507d047a67c08f4 {
		t.Errorf("got %#x and %#x", got, same)
	}
}

func TestHashKey(t *testing.T) {
	f := func(by, request, user string, want uint64) {
		t.Helper()
		x := newExchange(t, request)
		x.User = user
		u := &Upstream{config: UpstreamConfig{HashBy: by}}
		if got := u.hashKey(x); got != want {
			t.Errorf("%s of %q, user %q: got %x, want %x", by, request, user, got, want)
		}
	}
	address := netip.MustParseAddr("203.0.113.9").As16()
	ip := hash(address[:])
	f("ip", get("/"), "alice", ip)
	f("user", get("/"), "alice", hash("alice"))
	f("user", get("/"), "", ip)
	f("header:X-Tenant", get("/", "x-tenant: blue"), "alice", hash("blue"))
	f("header:X-Tenant", get("/"), "alice", ip)
}

func BenchmarkChoose(b *testing.B) {
	slots := slotsOf(1, 1, 1, 1, 1, 1, 1, 1)
	v := &view{even: true}
	for _, policy := range []string{balanceP2C, balanceRoundRobin, balanceHash} {
		u := &Upstream{config: UpstreamConfig{Balance: policy}}
		b.Run(policy, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				u.choose(v, slots, draw{turn: u.turn.Add(1), key: hash("alice"), rand: rand.Float64})
			}
		})
	}
}
