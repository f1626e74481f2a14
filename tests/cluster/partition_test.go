package cluster

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-api-gateway-pro/gateway/cluster"
)

// These tests run peers with the timings of production in a bubble, where time
// passes when everybody waits: a minute is a minute to the code and takes no time.

// sizes returns how many members each peer counts.
func sizes(peers []*cluster.Peer) []int {
	var out []int
	for _, p := range peers {
		out = append(out, p.Size())
	}
	return out
}

func all(peers []*cluster.Peer, want int) bool {
	return !slices.ContainsFunc(sizes(peers), func(n int) bool { return n != want })
}

// within waits until ok and returns how long that took.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			t.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(start)
}

// ring starts n peers of which each knows the address of the one before only, the
// last ones first: a peer's seed is never there before it.
func ring(t *testing.T, net *network, n int) (peers []*cluster.Peer) {
	t.Helper()
	for i := n; i > 0; i-- {
		peers = append(peers, net.join(t, i, max(i-1, 1)))
	}
	return peers
}

func TestNinePeersFormInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peers := ring(t, newNetwork(t), 9)
		took := within(t, 20*time.Second, "nine members everywhere", func() bool { return all(peers, 9) })
		t.Logf("nine peers that each know one other, started in the wrong order, are one cluster after %s", took)
	})
}

func TestPartitionHeals(t *testing.T) {
	for _, lasts := range []time.Duration{3 * time.Second, time.Minute, 30 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			net := newNetwork(t)
			peers := ring(t, net, 9)
			within(t, 20*time.Second, "nine members everywhere", func() bool { return all(peers, 9) })
			time.Sleep(time.Minute)

			net.cut(map[string]int{address(1): 1, address(2): 1, address(3): 1})
			time.Sleep(lasts)
			if got := sizes(peers); lasts >= time.Minute && !slices.Equal(got, []int{6, 6, 6, 6, 6, 6, 3, 3, 3}) {
				t.Errorf("cut in 6 and 3 for %s: sizes are %v", lasts, got)
			}
			net.cut(nil)
			took := within(t, 20*time.Second, "nine members everywhere again", func() bool { return all(peers, 9) })
			t.Logf("after a cut of %s: one cluster again after %s", lasts, took)
			time.Sleep(10 * time.Second)
			if !all(peers, 9) {
				t.Errorf("the cluster falls apart again: sizes are %v", sizes(peers))
			}
		})
	}
}

// Whom nobody's join list names any more is found where it was.
func TestHalvesMeetWithoutTheirSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t)
		seed := net.join(t, 1)
		pair := []*cluster.Peer{net.join(t, 2, 1), net.join(t, 3, 1)}
		within(t, 20*time.Second, "three members", func() bool { return all(pair, 3) })
		if err := seed.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		net.cut(map[string]int{address(3): 1})
		within(t, 30*time.Second, "each alone", func() bool { return all(pair, 1) })
		time.Sleep(10 * time.Minute)
		net.cut(nil)
		took := within(t, 20*time.Second, "two members again", func() bool { return all(pair, 2) })
		t.Logf("without any join address left: one cluster again after %s", took)
	})
}

// What gossip costs where nothing happens, with and without the row that every
// node shows of itself each second.
func TestTrafficAtRest(t *testing.T) {
	const n, row, span = 9, 400, 2 * time.Minute
	measure := func(t *testing.T, say bool) (bytesPerS, packetsPerS float64) {
		synctest.Test(t, func(t *testing.T) {
			net := newNetwork(t)
			peers := ring(t, net, n)
			within(t, 20*time.Second, "all members everywhere", func() bool { return all(peers, n) })
			time.Sleep(time.Minute) // joins have been told often enough
			stop := func() {}
			if say {
				stop = talk(peers, bytes.Repeat([]byte("x"), row))
			}
			time.Sleep(10 * time.Second)
			bytes, packets := net.bytes.Load(), net.packets.Load()
			time.Sleep(span)
			bytesPerS = float64(net.bytes.Load()-bytes) / span.Seconds()
			packetsPerS = float64(net.packets.Load()-packets) / span.Seconds()
			stop()
		})
		return bytesPerS, packetsPerS
	}
	quiet, quietPackets := measure(t, false)
	talking, packets := measure(t, true)
	t.Logf("nine members at rest: %.0f bytes/s in %.0f packets/s for all (%.0f bytes/s each); "+
		"with a row of %d bytes each second: %.0f bytes/s in %.0f packets/s (%.0f bytes/s each)",
		quiet, quietPackets, quiet/n, row, talking, packets, talking/n)
	if quiet/n > 2_000 || talking/n > 20_000 {
		t.Errorf("a member sends %.0f bytes/s at rest and %.0f with its row, want at most 2,000 and 20,000", quiet/n, talking/n)
	}
}

// talk lets every peer set a row each second, until stop.
func talk(peers []*cluster.Peer, payload []byte) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	var rows []*cluster.Rows
	var send []func([]byte)
	for _, p := range peers {
		r := cluster.NewRows(p.Name(), 10*time.Second, time.Now)
		rows, send = append(rows, r), append(send, p.Share("status", r))
	}
	go func() {
		defer close(done)
		for {
			for i, r := range rows {
				send[i](r.Set(payload))
			}
			select {
			case <-quit:
				return
			case <-time.After(time.Second):
			}
		}
	}()
	return func() { close(quit); <-done }
}
