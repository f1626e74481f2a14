package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-api-gateway-pro/gateway/proxy/breaker"
)

// settings are what belongs to an upstream and not to a route.
type settings struct {
	breaker     breaker.Config
	connections ConnectionsConfig
	check       HealthCheckConfig // no path: none
	authority   string
}

func defaultSettings() settings {
	s := settings{breaker: breaker.DefaultConfig()}
	s.connections.SetDefaults()
	return s
}

// heedRoute takes over what a route says about the upstream.
func (s *settings) heedRoute(c UpstreamConfig, a address) {
	s.authority = a.authority
	if c.Breaker != nil {
		s.breaker = *c.Breaker
	}
	if c.Connections != nil {
		s.connections = *c.Connections
	}
	if c.HealthCheck != nil {
		s.check = *c.HealthCheck
	}
}

// CheckShared refuses routes that name the same upstream and disagree on what
// belongs to it. The error joins all problems, each beginning with "routes[i].".
func CheckShared(routes []UpstreamConfig) error {
	return errors.Join(
		checkAgreed(routes, "breaker", func(c UpstreamConfig) *breaker.Config { return c.Breaker }),
		checkAgreed(routes, "connections", func(c UpstreamConfig) *ConnectionsConfig { return c.Connections }),
		checkAgreed(routes, "health_check", func(c UpstreamConfig) *HealthCheckConfig { return c.HealthCheck }),
		checkAgreed(routes, "upstream_tls", func(c UpstreamConfig) *TLSConfig { return &c.TLS }),
	)
}

// orLeftOut says what else may be done about a section. No upstream_tls is one
// too: it trusts the machine's roots.
func orLeftOut(section string) string {
	if section == "upstream_tls" {
		return ""
	}
	return ", or be left out there"
}

// checkAgreed compares what each route says, if anything, with the first that did.
func checkAgreed[T comparable](routes []UpstreamConfig, section string, says func(UpstreamConfig) *T) error {
	var errs []error
	first := map[targetKey]int{}
	for i, c := range routes {
		said := says(c)
		if said == nil {
			continue
		}
		for _, w := range c.urls() {
			a, err := parseURL(w.URL)
			if err != nil {
				continue // reported with its route
			}
			other, known := first[a.key()]
			if !known {
				first[a.key()] = i
			} else if *says(routes[other]) != *said {
				errs = append(errs, fmt.Errorf("routes[%d].%s: must equal that of routes[%d], which has the same upstream %s%s",
					i, section, other, w.URL, orLeftOut(section)))
			}
		}
	}
	return errors.Join(errs...)
}

// apply puts settings in force. Health checks go on untouched if nothing about
// them changed.
func (t *target) apply(s settings) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.forgotten {
		return
	}
	old := t.settings
	t.settings = s
	t.wait.Store(int64(time.Duration(s.connections.WaitMS) * time.Millisecond))
	for _, e := range t.known {
		e.gate.resize(s.connections.Max)
		e.breaker.Configure(s.breaker)
	}
	if s.check != old.check || s.authority != old.authority {
		t.stopChecksLocked()
		t.startChecksLocked()
	}
}

func (t *target) startChecksLocked() {
	if t.settings.check.Path == "" {
		return
	}
	ctx, cancel := context.WithCancel(t.b.ctx)
	s := t.settings
	t.stopChecks = cancel
	for _, e := range t.known {
		e.judge(true) // until found otherwise
	}
	t.b.spawn(func() { t.checkUp(ctx, s) })
}

// stopChecksLocked calls the checks off. What they found no longer counts.
func (t *target) stopChecksLocked() {
	if t.stopChecks == nil {
		return
	}
	t.stopChecks()
	t.stopChecks = nil
	for _, e := range t.known {
		e.sick.Store(false)
		e.breaker.Health(true)
		t.b.metrics.healthy.DeleteLabelValues(e.backend)
	}
}
