package config

import "strings"

// longestKey bounds the work on keys that nobody can have meant.
const longestKey = 64

// closest returns the candidate that a slip of the keyboard is most likely to
// have meant, "" if none is near: a third of it may differ, or an end such as _ms be
// missing.
func closest(typed string, candidates []string) string {
	if len(typed) > longestKey {
		return ""
	}
	best, least := "", 1+max(1, len(typed)/3)
	for _, c := range candidates {
		d := slips(typed, c)
		if strings.HasPrefix(c, typed+"_") {
			d = min(d, 1) // the unit was forgotten
		}
		if d < least {
			best, least = c, d
		}
	}
	return best
}

// slips counts the letters inserted, left out, changed, or swapped with their
// neighbour between a and b.
func slips(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			changed := 0
			if a[i-1] != b[j-1] {
				changed = 1
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+changed)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
