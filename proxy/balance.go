package proxy

import (
	"fmt"
	"slices"
	"strings"
)

// The policies of balance and the keys of hash_by.
const (
	balanceP2C        = "p2c"
	balanceRoundRobin = "round_robin"
	balanceHash       = "hash"

	hashByIP     = "ip"
	hashByUser   = "user"
	hashByHeader = "header:" // and the header's name
)

func checkBalance(balance, hashBy string) error {
	if policies := []string{balanceP2C, balanceRoundRobin, balanceHash}; !slices.Contains(policies, balance) {
		return fmt.Errorf("balance: must be one of %s, got %q", strings.Join(policies, ", "), balance)
	}
	name, isHeader := strings.CutPrefix(hashBy, hashByHeader)
	if known := hashBy == hashByIP || hashBy == hashByUser || isHeader && isToken([]byte(name)); !known {
		return fmt.Errorf("hash_by: must be ip, user or header:NAME, got %q", hashBy)
	}
	return nil
}

// draw is what chance and the request contribute to a choice.
type draw struct {
	turn uint32         // of round robin
	key  uint64         // of hash
	rand func() float64 // of p2c
}

// choose returns the place in candidates, which must not be empty, of the
// endpoint that the policy prefers.
func (u *Upstream) choose(v *view, candidates []*slot, d draw) int {
	switch {
	case len(candidates) == 1:
		return 0
	case u.config.Balance == balanceRoundRobin && v.even:
		return int(d.turn % uint32(len(candidates)))
	case u.config.Balance == balanceRoundRobin:
		return v.nextInTurn(candidates)
	case u.config.Balance == balanceHash:
		return rendezvous(candidates, d.key)
	default:
		return lessLoadedOfTwo(candidates, d.rand)
	}
}

// lessLoadedOfTwo draws two by weight and takes the one with fewer requests under
// way for its weight: nearly as even as looking at all of them, without sending
// everybody to the one that looks best at the moment. When both are idle the
// first one drawn stands, so that idle endpoints are used by weight.
func lessLoadedOfTwo(candidates []*slot, rand func() float64) int {
	total := 0
	for _, s := range candidates {
		total += s.weight
	}
	first := drawByWeight(candidates, -1, rand()*float64(total))
	second := drawByWeight(candidates, first, rand()*float64(total-candidates[first].weight))
	a, b := candidates[first], candidates[second]
	if int64(b.gate.inside.Load())*int64(a.weight) < int64(a.gate.inside.Load())*int64(b.weight) {
		return second
	}
	return first
}

// drawByWeight returns where at falls on the line of all weights but one's.
func drawByWeight(candidates []*slot, without int, at float64) int {
	last := 0
	for i, s := range candidates {
		if i == without {
			continue
		}
		last = i
		if at -= float64(s.weight); at < 0 {
			break
		}
	}
	return last
}

// nextInTurn is the smooth weighted round robin of nginx: everybody gains their
// weight, the richest is served and pays for all. Weights 5, 1, 1 give the order
// a a b a c a a, not five of a in a row.
func (v *view) nextInTurn(candidates []*slot) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	best, total := 0, 0
	for i, s := range candidates {
		s.credit += s.weight
		total += s.weight
		if s.credit > candidates[best].credit {
			best = i
		}
	}
	candidates[best].credit -= total
	return best
}
