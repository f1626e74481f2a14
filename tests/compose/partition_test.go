package compose

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const cutLasts = time.Minute

// TestRealNetworks cuts one of three gateways off from the others and from Redis,
// plugs it in again at another address, and kills one.
func TestRealNetworks(t *testing.T) {
	s := open(t, siteConfig)
	harness.Eventually(t, readyLimit, "an answer through nginx", func() bool {
		resp, err := http.Get(s.Front + "/free/x")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	t.Logf("one cluster of three after %s", s.agree(readyLimit, 3, node(0), node(1), node(2)))
	t.Run("each advertises its address on the cluster's network", s.testAdvertise)
	t.Run("a cut and what comes after", s.testCut)
	t.Run("a node that is killed", s.testKill)
	t.Run("nobody meets the admin port in front", func(t *testing.T) {
		if a := harness.Ask(t, "GET", s.Front+"/admin/cluster", ""); a.Status != http.StatusNotFound {
			t.Errorf("/admin/cluster is answered with %d, want 404", a.Status)
		}
	})
}

func (s *site) testAdvertise(t *testing.T) {
	var want []string
	for i := range 3 {
		want = append(want, s.address(node(i))+":7946")
	}
	slices.Sort(want)
	got := s.members(node(0))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("members are at %v, want %v", got, want)
	}
}

// Both sides of a cut serve and limit; nginx's clients notice nothing.
func (s *site) testCut(t *testing.T) {
	before := s.address(node(2))
	s.unplug(node(2))
	began := time.Now()
	s.run("squatter", s.of("back"), "redis:7-alpine") // takes the address that became free
	s.agree(readyLimit, 2, node(0), node(1))
	s.agree(readyLimit, 1, node(2))
	t.Logf("both sides know of the cut after %s", time.Since(began))

	if failed := (harness.Load{URLs: []string{s.Front + "/free/x"}, Count: 200, Rate: 40}).Run(t.Context()).Failed(); len(failed) > 0 {
		t.Errorf("%d of 200 requests through nginx failed during the cut, the first: %+v", len(failed), failed[0])
	}
	start := time.Now()
	for i, most := range map[int]int{0: 30, 2: 10} { // by Redis, and by a node's share of three
		admitted, denied := s.ask(node(i), "/limited/x", 60)
		t.Logf("%s during the cut: %d admitted, %d denied", node(i), admitted, denied)
		if refill := int(time.Since(start).Seconds()) + 1; admitted == 0 || admitted > most+refill || admitted+denied != 60 {
			t.Errorf("%s admitted %d and denied %d of 60 during the cut, want 1 to %d admitted and the others denied", node(i), admitted, denied, most+refill)
		}
	}
	time.Sleep(time.Until(began.Add(cutLasts)))

	s.plug(node(2))
	plugged := time.Now()
	took := s.agree(20*time.Second, 3, node(0), node(1), node(2))
	after := s.address(node(2))
	t.Logf("one cluster again %s after a cut of %s; the address was %s and is %s", took, cutLasts, before, after)
	if after == before {
		t.Errorf("the address is %s as before: the test wants another one", after)
	}
	harness.Eventually(t, 20*time.Second, "the new address on the others' lists", func() bool {
		return slices.Contains(s.members(node(0)), after+":7946") && slices.Contains(s.members(node(1)), after+":7946")
	})
	t.Logf("known at its new address %s after the cut ended", time.Since(plugged))
	time.Sleep(15 * time.Second)
	s.agree(5*time.Second, 3, node(0), node(1), node(2)) // and it stays so
}

// A node that dies costs no more than the requests that were under way.
func (s *site) testKill(t *testing.T) {
	done := make(chan harness.Outcomes)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		done <- harness.Load{URLs: []string{s.Front + "/free/x"}, Count: 600, Rate: 60}.Run(ctx)
	}()
	time.Sleep(3 * time.Second)
	before := time.Now()
	s.docker("kill", "-s", "KILL", s.of(node(1)))
	after := time.Now()
	all := <-done

	underWay := 0
	for _, shot := range all {
		if shot.At.Before(after) && shot.At.Add(shot.Took).After(before) {
			underWay++
		}
	}
	failed := all.Failed()
	t.Logf("%d of %d requests failed, %d were under way when the node was killed; the slowest took %s",
		len(failed), len(all), underWay, all.Slowest().Took)
	for _, shot := range failed {
		if shot.At.After(after) || shot.At.Add(shot.Took).Before(before) {
			t.Errorf("a request that was not under way failed: %+v", shot)
		}
	}
	s.docker("start", s.of(node(1)))
	t.Logf("three members %s after the node was started again", s.agree(20*time.Second, 3, node(0), node(1), node(2)))
}
