package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Upstream forwards requests to the upstreams of one route with its settings. It
// is safe for concurrent use; see [Backends.Upstream].
type Upstream struct {
	backends *Backends
	members  []member // at least one
	config   UpstreamConfig
	timeout  time.Duration
	backoff  time.Duration
	idle     time.Duration
	headers  HeaderChange

	seen atomic.Pointer[view]
	turn atomic.Uint32 // of round robin
}

// Name returns the first upstream's host:port, after https:// if it is spoken to
// so. It is a value of the label upstream in the metrics.
func (u *Upstream) Name() string { return u.members[0].target.name }

// Forward sends x.Request and fills x.Response. A response of the upstream,
// whatever its status, is no error: once the tries are used up its 503 is the
// answer. On error x.Response is empty; for the errors see [ErrUpstream].
//
// The end of ctx is noticed between tries, not during one; the deadline and
// [Exchange.Abort] end a try too. A body that is streamed has its own time: the
// deadline stands still while the request's is sent and ends with the head of
// the response; what is left of that body, and both, must only never be silent
// for longer than idle_timeout_ms. Apart from Abort the exchange must not be
// used by others before Forward returns.
func (u *Upstream) Forward(ctx context.Context, x *Exchange) (Result, error) {
	f := forwarding{Upstream: u, ctx: ctx, x: x, began: time.Now()}
	f.deadline = u.deadline(ctx, x, f.began)
	f.repeatable = u.isRepeatable(x.Request.Header.Method()) && !x.Request.IsBodyStream()
	if u.config.Balance == balanceHash {
		f.key = u.hashKey(x)
	}
	x.idle, x.via = u.idle, u
	u.rewrite(x)
	if err := f.run(); err != nil {
		x.Response.Reset()
		return f.result, err
	}
	cleanResponse(x.Response)
	if x.Tunnel != nil {
		setUpgrade(&x.Response.Header)
	}
	return f.result, nil
}

func (u *Upstream) deadline(ctx context.Context, x *Exchange, now time.Time) time.Time {
	deadline := now.Add(u.timeout)
	if !x.Deadline.IsZero() && x.Deadline.Before(deadline) {
		deadline = x.Deadline
	}
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	return deadline
}

// forwarding is one call of Forward under way.
type forwarding struct {
	*Upstream
	ctx        context.Context
	x          *Exchange
	began      time.Time
	deadline   time.Time
	repeatable bool
	key        uint64 // of balance: hash

	result Result
	last   tripResult
	among  *view        // what the last pick chose from
	at     *slot        // whom it chose
	tried  [4]*endpoint // the latest ones
}

func (f *forwarding) run() error {
	for {
		ticket, err := f.next()
		if err != nil {
			return err
		}
		if f.at == nil {
			return f.settle()
		}
		f.try(f.at, ticket)
		if !f.again() {
			return f.settle()
		}
	}
}

// next picks an endpoint. It picks none, without error, if a try was made before
// and there is nobody left to try: then that try's outcome stands.
func (f *forwarding) next() (t ticket, err error) {
	if f.result.Tries == 0 && !f.began.Before(f.deadline) {
		return ticket{}, fmt.Errorf("cannot forward to %s: %w before it was tried", f.Name(), ErrTimeout)
	}
	f.at = nil
	if f.among, err = f.endpoints(f.ctx, f.deadline); err == nil {
		var ok bool
		if f.at, t, ok = f.pick(f.among); ok {
			return t, nil
		}
		err = f.openError(f.among)
	}
	if f.result.Tries > 0 {
		return ticket{}, nil
	}
	return ticket{}, err
}

// openError says when the first of the endpoints will be tried again.
func (u *Upstream) openError(v *view) error {
	wait := time.Duration(1<<63 - 1)
	for _, s := range v.slots {
		wait = min(wait, s.breaker.Retry().Sub(u.backends.options.Now()))
	}
	return &OpenError{Upstream: u.Name(), RetryAfter: max(wait, time.Second)}
}

func (f *forwarding) wasTried(e *endpoint) bool {
	return slices.Contains(f.tried[:min(f.result.Tries, len(f.tried))], e)
}

// try sends the request to s once.
func (f *forwarding) try(s *slot, t ticket) {
	if f.last.open {
		_ = f.x.Response.CloseBodyStream() // of an answer that is not taken
	}
	if f.result.Tries > 0 {
		s.target.metrics.retries.Inc()
	} else {
		s.target.budget.earn(f.config.Retry.BudgetRatio)
	}
	f.tried[f.result.Tries%len(f.tried)] = s.endpoint
	f.result.Tries++
	f.result.Upstream = s.addr
	f.last = tripResult{outcome: aborted}
	defer func() {
		s.breaker.Done(t, f.last.verdict())
	}()
	f.setTarget(f.x, s.member.address)
	span := f.startSpan(s)
	f.last = f.visit(s)
	s.target.metrics.count(f.last)
	endSpan(span, f.last)
}

// visit waits for a connection to s and uses it; once more at no charge if all
// that was wrong is that an idle one had been closed.
func (f *forwarding) visit(s *slot) tripResult {
	deadline := f.tryDeadline()
	if !s.gate.tryEnter() {
		wait := min(time.Duration(s.target.wait.Load()), time.Until(deadline))
		if err := s.gate.enter(f.ctx, wait); err != nil {
			return tripResult{outcome: busy, err: err}
		}
	}
	last := tripResult{outcome: aborted}
	defer func() {
		if !last.open { // else whoever uses the connection leaves with it
			s.gate.leave()
		}
	}()
	last = s.roundTrip(f.x, deadline)
	if last.stale && (f.repeatable || last.outcome == unsent && !f.x.Request.IsBodyStream()) {
		s.client.CloseIdleConnections()
		last = s.roundTrip(f.x, deadline)
	}
	if last.outcome != answered && (errors.Is(f.ctx.Err(), context.Canceled) || f.x.aborted()) {
		last.outcome = aborted
	}
	return last
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
	case unread:
		return fmt.Errorf("cannot forward to %s: %w", f.result.Upstream, f.last.err)
	case aborted:
		kind = context.Canceled
	}
	return fmt.Errorf("cannot forward to %s: %w (%s): %w", f.result.Upstream, kind, f.last.outcome, f.last.err)
}
