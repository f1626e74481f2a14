package proxy

import (
	"math"
	"strings"
)

// rendezvous returns the endpoint with the highest score for the key. Scores
// depend on nothing but key and address, so all nodes agree, an endpoint that
// leaves moves its own keys only, and one that comes takes its share and no
// more. Weights follow Schindelhauer and Schomaker, "Weighted distributed hash
// tables" (2005): an endpoint wins a share of the keys that is exactly its
// weight's.
func rendezvous(candidates []*slot, key uint64) int {
	best, bestDrawn := 0, uint64(0)
	for i, s := range candidates {
		drawn := mix(key ^ s.id)
		if i == 0 || wins(drawn, s.weight, bestDrawn, candidates[best].weight) {
			best, bestDrawn = i, drawn
		}
	}
	return best
}

// wins compares two draws. Among equal weights the score grows with the draw,
// which saves the logarithms.
func wins(a uint64, weightA int, b uint64, weightB int) bool {
	if weightA == weightB {
		return a > b
	}
	return score(a, weightA) > score(b, weightB)
}

func score(drawn uint64, weight int) float64 {
	// 52 bits, so that the fraction is exact and never 0 or 1.
	fraction := (float64(drawn>>12) + 0.5) / (1 << 52)
	return float64(weight) / -math.Log(fraction)
}

// hashKey is what balance: hash goes by. A request without a user or header
// counts by its address.
func (u *Upstream) hashKey(x *Exchange) uint64 {
	switch name, isHeader := strings.CutPrefix(u.config.HashBy, hashByHeader); {
	case isHeader:
		if value := x.Request.Header.Peek(name); len(value) > 0 {
			return hash(value)
		}
	case u.config.HashBy == hashByUser && x.User != "":
		return hash(x.User)
	}
	address := x.Client.As16()
	return hash(address[:])
}

// hash is FNV-1a, finished so that similar keys end far apart. It must stay as it
// is: nodes of different versions have to agree.
func hash[T string | []byte](text T) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finish of MurmurHash3.
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
