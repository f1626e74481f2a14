package proxy

import (
	"slices"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// maxBackoff bounds the exponential growth of the wait between tries.
const maxBackoff = 10 * time.Second

// isRepeatable reports whether a second request of the method does no harm.
func (u *Upstream) isRepeatable(method []byte) bool {
	for _, m := range u.config.Retry.Methods {
		if string(method) == m {
			return true
		}
	}
	return false
}

// again decides whether another try is allowed, and waits until it is due.
func (f *forwarding) again() bool {
	if !f.mayRepeat() {
		return false
	}
	pause := f.pause()
	if time.Until(f.deadline) <= pause {
		return false
	}
	if !f.at.target.budget.spend(f.backends.options.Now()) {
		f.at.target.metrics.exhausted.Inc()
		return false
	}
	return f.sleep(pause)
}

// mayRepeat reports whether a try is left and can do no harm.
func (f *forwarding) mayRepeat() bool {
	if f.result.Tries > f.config.Retry.Attempts || f.x.aborted() {
		return false
	}
	switch f.last.outcome {
	case refused, busy:
		return true
	case unsent:
		return !f.x.Request.IsBodyStream()
	case broken, timedOut:
		return f.repeatable
	case answered:
		return f.repeatable && slices.Contains(f.config.Retry.Statuses, f.last.status)
	}
	return false
}

// othersLeft reports whether there are endpoints that were not tried.
func (f *forwarding) othersLeft() bool { return len(f.among.slots) > f.result.Tries }

// tryDeadline splits the time that is left: a try that could be made elsewhere
// gets half of it, so that one silent endpoint does not use up all.
func (f *forwarding) tryDeadline() time.Time {
	most := time.Duration(f.config.Retry.TryTimeoutMS) * time.Millisecond
	elsewhere := f.repeatable && f.result.Tries <= f.config.Retry.Attempts && f.othersLeft()
	if most == 0 && !elsewhere {
		return f.deadline
	}
	now := time.Now()
	left := f.deadline.Sub(now)
	if most > 0 {
		return now.Add(min(left, most))
	}
	return now.Add(left / 2)
}

// pause is a random part of an exponentially growing time, or what Retry-After
// asks for if that is longer. An endpoint speaks for itself: its Retry-After does
// not keep the request from another one.
func (f *forwarding) pause() time.Duration {
	limit := min(f.backoff<<(f.result.Tries-1), maxBackoff)
	pause := time.Duration(f.backends.options.Rand() * float64(limit))
	if f.last.outcome == answered && !f.othersLeft() {
		pause = max(pause, retryAfter(&f.x.Response.Header, f.backends.options.Now()))
	}
	return pause
}

// retryAfter reads the field of RFC 9110 section 10.2.3; 0 if it says nothing.
func retryAfter(h *fasthttp.ResponseHeader, now time.Time) time.Duration {
	value := h.Peek("Retry-After")
	if seconds, err := strconv.ParseUint(string(value), 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := fasthttp.ParseHTTPDate(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// sleep returns false if the context ended first.
func (f *forwarding) sleep(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-f.ctx.Done():
		return false
	}
}
