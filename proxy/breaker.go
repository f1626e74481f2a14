package proxy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/go-api-gateway-pro/gateway/proxy/breaker"
)

// verdict is what one try says about its endpoint, ticket ties it to the moment
// the try was let through.
type (
	verdict = breaker.Result
	ticket  = breaker.Ticket
)

const (
	neutral = breaker.Neutral // nothing, such as a client that went away
	success = breaker.Success
	failure = breaker.Failure
)

// breakerTick is how often the breakers renew and forget what time demands.
const breakerTick = time.Second

// BreakerStatus is a snapshot of one backend: an endpoint's ip:port, after its
// name and a slash if it has one, and after https:// if it is spoken to so.
type BreakerStatus = breaker.Status

// newBreaker makes an endpoint's breaker, whose transitions are counted and logged.
func (t *target) newBreaker(backend string) *breaker.Breaker {
	state := t.b.metrics.state.WithLabelValues(backend) // closed, unless the breaker is in use
	var moves [breaker.Open + 1]prometheus.Counter
	for s := range moves {
		moves[s] = t.b.metrics.transitions.WithLabelValues(backend, breaker.State(s).String())
	}
	return t.b.breakers.Add(breaker.Backend{
		Name: backend, Upstream: t.name, Config: t.settings.breaker,
		Notify: func(c breaker.Change) {
			state.Set(float64(c.To))
			moves[c.To].Inc()
			t.b.options.Log.Warn().Str("backend", backend).Stringer("was", c.From).Stringer("state", c.To).
				Str("cause", string(c.Cause)).Str("by", c.By).Msg("breaker changed")
		},
	})
}

// Announce sets what sends a message about breakers to every other node at once.
// Until then, and without it, this node decides alone. It must neither block nor
// call back.
func (b *Backends) Announce(send func(message []byte)) {
	b.breakers.Announce(func(message []byte) {
		b.metrics.announced.Inc()
		send(message)
	})
}

// MarshalBinary returns what this node knows of all nodes' breakers.
func (b *Backends) MarshalBinary() ([]byte, error) { return b.breakers.MarshalBinary() }

// Merge takes in what another node announced or knows. It is idempotent,
// commutative and associative and never blocks.
func (b *Backends) Merge(message []byte) error {
	b.metrics.heard.Inc()
	return b.breakers.Merge(message)
}

// Breakers returns the state of every endpoint in use, and of those that others
// hold open, sorted by backend.
func (b *Backends) Breakers() []BreakerStatus { return b.breakers.Status() }

// Override lets an operator's word hold for a backend's breaker on all nodes:
// mode is open, closed or auto, and hold, unless it is auto, more than zero and
// at most a day. It returns [breaker.ErrUnknownBackend] for one nobody knows.
func (b *Backends) Override(backend, mode string, hold time.Duration) error {
	m, err := breaker.ParseMode(mode)
	if err != nil {
		return err
	}
	return b.breakers.Override(backend, m, hold)
}
