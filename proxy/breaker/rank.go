package breaker

import "cmp"

// rank returns how many members come before self for an attempt at a backend:
// rendezvous hashing, so that all members agree without talking, every attempt
// has another order, and a member that goes moves nobody but those behind it.
func rank(self, backend string, attempt uint64, members []string) int {
	mine, before := score(self, backend, attempt), 0
	for _, m := range members {
		if m == self {
			continue
		}
		if order := cmp.Or(cmp.Compare(score(m, backend, attempt), mine), cmp.Compare(m, self)); order < 0 {
			before++
		}
	}
	return before
}

// score is FNV-1a, finished by the mixer of SplitMix64 (Steele, Lea and Flood,
// 2014), without which names that differ in their last byte only would nearly
// keep their order. It must be the same on every node and in every version.
func score(member, backend string, attempt uint64) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for _, s := range [...]string{member, "\x00", backend} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * prime
		}
	}
	h += (attempt + 1) * 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
