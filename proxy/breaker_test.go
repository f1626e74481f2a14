package proxy

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/go-api-gateway-pro/gateway/proxy/breaker"
)

// What one node announces another one hears of, counts, logs and acts upon.
func TestBreakersAreShared(t *testing.T) {
	up := newBackend(t, always(status(503)))
	log, reg := &bytes.Buffer{}, prometheus.NewRegistry()
	members := func() []string { return []string{"a", "b"} }
	a := newTestBackends(t, Options{Self: "a", Members: members})
	b := newTestBackends(t, Options{Self: "b", Members: members, Log: zerolog.New(log), Registerer: reg})
	var messages [][]byte
	a.Announce(func(m []byte) { messages = append(messages, m) })
	ua, ub := a.Upstream(configFor(up.url)), b.Upstream(configFor(up.url))
	for range 5 {
		forward(t, ua, newExchange(t, get("/")))
	}
	for _, m := range messages {
		if err := b.Merge(m); err != nil {
			t.Fatal(err)
		}
	}
	want := func(state string, by ...string) {
		t.Helper()
		if s := b.Breakers()[0]; s.Backend != up.addr || s.State != state || strings.Join(s.By, " ") != strings.Join(by, " ") {
			t.Fatalf("got %+v, want %s by %v", s, state, by)
		}
	}
	want("suspect", "a")
	forward(t, ub, newExchange(t, get("/")))
	want("open", "a", "b")
	if got := len(up.received()); got != 6 {
		t.Errorf("the upstream got %d requests, want 6", got)
	}
	if !strings.Contains(log.String(), `"state":"open","cause":"suspicion","by":"a"`) {
		t.Errorf("the log says %s", log)
	}
	if got := metricValue(t, reg, "gateway_breaker_announcements_total", "received"); got != float64(len(messages)) {
		t.Errorf("%v messages counted, want %d", got, len(messages))
	}
	if got := metricValue(t, reg, "gateway_breaker_transitions_total", "open"); got != 1 {
		t.Errorf("%v openings counted", got)
	}
	if got := metricValue(t, reg, "gateway_breaker_state", up.addr); got != 3 {
		t.Errorf("the gauge is %v", got)
	}
}

// The exchange of full states tells a late node the same.
func TestFullStateOfBreakers(t *testing.T) {
	up := newBackend(t, always(status(503)))
	members := func() []string { return []string{"a", "b"} }
	a := newTestBackends(t, Options{Self: "a", Members: members})
	b := newTestBackends(t, Options{Self: "b", Members: members})
	u := a.Upstream(configFor(up.url))
	for range 5 {
		forward(t, u, newExchange(t, get("/")))
	}
	state, err := a.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Merge(state); err != nil {
		t.Fatal(err)
	}
	b.Upstream(configFor(up.url)) // heard of before it was used
	if s := b.Breakers()[0]; s.State != "suspect" {
		t.Errorf("got %+v", s)
	}
}

// metricValue returns the value of the series that has the label's value.
func metricValue(t *testing.T, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if f.GetName() == name && l.GetValue() == label {
					return m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	t.Fatalf("no %s of %s", name, label)
	return 0
}

func TestOverrideOfABackend(t *testing.T) {
	up := newBackend(t, always(ok))
	b := newTestBackends(t, Options{})
	u := b.Upstream(configFor(up.url))
	if err := b.Override(up.addr, "open", time.Minute); err != nil {
		t.Fatal(err)
	}
	var open *OpenError
	if _, err := u.Forward(t.Context(), newExchange(t, get("/"))); !errors.As(err, &open) || open.RetryAfter < 50*time.Second {
		t.Errorf("got %v, want to come back in a minute", err)
	}
	if err := b.Override(up.addr, "auto", 0); err != nil {
		t.Fatal(err)
	}
	forward(t, u, newExchange(t, get("/")))
	if err := b.Override(up.addr, "shut", time.Minute); err == nil || !strings.Contains(err.Error(), "must be one of open, closed, auto") {
		t.Errorf("got %v", err)
	}
	if err := b.Override("nobody:80", "open", time.Minute); !errors.Is(err, breaker.ErrUnknownBackend) {
		t.Errorf("got %v", err)
	}
}

// A reload changes the settings of breakers that live on.
func TestRetainConfiguresBreakers(t *testing.T) {
	up := newBackend(t, always(status(503)))
	b := newTestBackends(t, Options{})
	u := b.Upstream(configFor(up.url))
	forward(t, u, newExchange(t, get("/")))
	u = b.Upstream(configFor(up.url, func(c *UpstreamConfig) { c.Breaker.Failures = 2 }))
	b.Retain([]*Upstream{u})
	forward(t, u, newExchange(t, get("/")))
	if s := b.Breakers()[0]; s.State != "open" {
		t.Errorf("got %+v, want the new threshold and the old count", s)
	}
}

func TestFailureRatioOpens(t *testing.T) {
	up := newBackend(t, func(n int, _ string) string { return []string{ok, status(502)}[n%2] })
	b := newTestBackends(t, Options{})
	u := b.Upstream(configFor(up.url, func(c *UpstreamConfig) { c.Breaker.FailureRatio = 0.4 }))
	for range 9 {
		forward(t, u, newExchange(t, get("/")))
	}
	if s := b.Breakers()[0]; s.State != "open" {
		t.Errorf("got %+v after every second request failed", s)
	}
}

// A reload that changes how TLS is spoken makes the upstream anew; if it is then
// refused the old one goes on, and with it its breaker.
func TestRefusedReloadKeepsBreakers(t *testing.T) {
	reg := prometheus.NewRegistry()
	b := newTestBackends(t, Options{Registerer: reg, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("refused")
	}})
	config := configFor("https://10.0.0.1")
	u := b.Upstream(config)
	b.Retain([]*Upstream{u})
	fail := func(u *Upstream, times int) {
		for range times {
			_, _ = u.Forward(t.Context(), newExchange(t, get("/")))
		}
	}
	fail(u, 3)
	config.TLS.ServerName = "other"
	next := b.Upstream(config)
	fail(u, 2)
	if s := b.Breakers(); len(s) != 1 || s[0].State != "open" {
		t.Fatalf("got %+v", s)
	}
	b.Upstream(config)
	if got := metricValue(t, reg, "gateway_breaker_state", "https://10.0.0.1:443"); got != 3 {
		t.Errorf("the gauge is %v", got)
	}
	b.Retain([]*Upstream{next})
	if s := b.Breakers(); len(s) != 1 || s[0].State != "open" {
		t.Errorf("after the reload: %+v", s)
	}
	if got := metricValue(t, reg, "gateway_breaker_state", "https://10.0.0.1:443"); got != 3 {
		t.Errorf("after the reload the gauge is %v", got)
	}
}
