package gcra

import "time"

// TakeAtMost takes as many whole tokens as there are, at least need and at most
// want, or none if need does not fit. It returns the TAT to keep and the number
// taken. Need below 1 counts as 1, want below need as need.
//
// Only whole tokens leave the bucket: what is there of the next one stays, so
// nothing is lost however often a nearly empty bucket is asked.
func TakeAtMost(tat, now int64, l Limit, need, want int) (int64, int, Result) {
	need = max(need, 1)
	there := Peek(tat, now, l, need)
	if !there.Allowed {
		kept, result := Take(tat, now, l, need)
		return kept, 0, result
	}
	n := max(min(want, there.Remaining), need)
	kept, result := Take(tat, now, l, n)
	return kept, n, result
}

// Owed is how many whole tokens lie between two TATs of one bucket: what was
// taken after from, as far as it has not come back by now.
func Owed(from, tat, now int64, l Limit) int {
	interval := l.interval()
	return tokens(min(tat-max(from, now), mul(int64(max(l.Burst, 0)), interval)), interval)
}

// Interval is the time one token takes to arrive, rounded up to a nanosecond.
func (l Limit) Interval() time.Duration { return time.Duration(l.interval()) }
