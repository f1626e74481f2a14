package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// maxBackoff bounds the exponential growth of the wait between tries.
const maxBackoff = 10 * time.Second

// Upstream forwards requests to one upstream with one route's settings. It is
// immutable and safe for concurrent use; see [Backends.Upstream].
type Upstream struct {
	target  *target
	config  UpstreamConfig
	address address
	timeout time.Duration
	backoff time.Duration
}

// Name returns the upstream's host:port, after https:// if it is spoken to so.
// It is the value of the label upstream in the metrics.
func (u *Upstream) Name() string { return u.target.name }

// Forward sends x.Request and fills x.Response. A response of the upstream,
// whatever its status, is no error: once the tries are used up its 503 is the
// answer. On error x.Response is empty; for the errors see [ErrUpstream].
//
// The end of ctx is noticed between tries, not during one; the deadline ends a
// try too. The exchange must not be used by others before Forward returns.
func (u *Upstream) Forward(ctx context.Context, x *Exchange) (Result, error) {
	f := forwarding{Upstream: u, ctx: ctx, x: x, deadline: u.deadline(ctx, x)}
	f.repeatable = isIdempotent(x.Request.Header.Method()) && !x.Request.IsBodyStream()
	u.rewrite(x)
	if err := f.run(); err != nil {
		x.Response.Reset()
		return f.result, err
	}
	cleanResponse(x.Response)
	return f.result, nil
}

func (u *Upstream) deadline(ctx context.Context, x *Exchange) time.Time {
	deadline := time.Now().Add(u.timeout)
	if !x.Deadline.IsZero() && x.Deadline.Before(deadline) {
		deadline = x.Deadline
	}
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	return deadline
}

func isIdempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// forwarding is one call of Forward under way.
type forwarding struct {
	*Upstream
	ctx        context.Context
	x          *Exchange
	deadline   time.Time
	repeatable bool

	result Result
	last   tripResult
	tried  [4]*endpoint // the latest ones
}

func (f *forwarding) run() error {
	for {
		e, ticket, err := f.next()
		if err != nil {
			return err
		}
		if e == nil {
			return f.settle()
		}
		f.try(e, ticket)
		if !f.mayRepeat() || !f.wait() {
			return f.settle()
		}
	}
}

// next picks an endpoint. It returns none, without error, if a try was made
// before and there is nobody left to try: then that try's outcome stands.
func (f *forwarding) next() (*endpoint, ticket, error) {
	if time.Until(f.deadline) <= 0 && f.result.Tries == 0 {
		return nil, ticket{}, fmt.Errorf("cannot forward to %s: %w before it was tried", f.target.name, ErrTimeout)
	}
	list, err := f.target.endpoints(f.ctx, f.deadline)
	if err == nil {
		tried := f.tried[:min(f.result.Tries, len(f.tried))]
		if e, ticket, ok := f.target.pick(list, tried); ok {
			return e, ticket, nil
		}
		err = f.target.openError(list)
	}
	if f.result.Tries > 0 {
		return nil, ticket{}, nil
	}
	return nil, ticket{}, err
}

// try sends the request to e once; once more at no charge if all that was wrong
// is that an idle connection had been closed.
func (f *forwarding) try(e *endpoint, t ticket) {
	f.tried[f.result.Tries%len(f.tried)] = e
	if f.result.Tries > 0 {
		f.target.metrics.retries.Inc()
	}
	f.result.Tries++
	f.result.Upstream = e.addr
	e.inFlight.Add(1)
	f.last = tripResult{outcome: aborted}
	defer func() {
		e.inFlight.Add(-1)
		e.breaker.Done(t, f.last.verdict())
	}()
	span := f.startSpan(e)
	last := e.roundTrip(f.x, f.deadline, f.repeatable)
	if last.stale && (f.repeatable || last.outcome == unsent && !f.x.Request.IsBodyStream()) {
		e.client.CloseIdleConnections()
		last = e.roundTrip(f.x, f.deadline, f.repeatable)
	}
	if last.outcome != answered && errors.Is(f.ctx.Err(), context.Canceled) {
		last.outcome = aborted
	}
	f.last = last
	f.target.metrics.count(last)
	endSpan(span, last)
}

// mayRepeat decides whether another try is allowed and can do no harm.
func (f *forwarding) mayRepeat() bool {
	if f.result.Tries > f.config.Retry.Attempts {
		return false
	}
	switch f.last.outcome {
	case refused, busy:
		return true
	case unsent:
		return !f.x.Request.IsBodyStream()
	case broken:
		return f.repeatable
	}
	return f.repeatable && f.last.overloaded()
}

// wait sleeps a random part of an exponentially growing time. It returns false
// if the deadline would pass first or the context ended.
func (f *forwarding) wait() bool {
	limit := min(f.backoff<<(f.result.Tries-1), maxBackoff)
	pause := time.Duration(f.target.b.options.Rand() * float64(limit))
	if time.Until(f.deadline) <= pause {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-f.ctx.Done():
		return false
	}
}

// settle turns the last try into the error of the whole.
func (f *forwarding) settle() error {
	kind := ErrUpstream
	switch f.last.outcome {
	case answered:
		return nil
	case timedOut:
		kind = ErrTimeout
	case busy:
		kind = ErrNoBackend
		if time.Until(f.deadline) <= 0 {
			kind = ErrTimeout
		}
	case aborted:
		kind = context.Canceled
	}
	return fmt.Errorf("cannot forward to %s: %w (%s): %w", f.result.Upstream, kind, f.last.outcome, f.last.err)
}
