package proxy

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// gaugesOf returns a family's series by their labels' values.
func gaugesOf(t *testing.T, reg prometheus.Gatherer, family string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != family {
			continue
		}
		for _, m := range f.GetMetric() {
			out[labelValues(m)] = m.GetGauge().GetValue()
		}
	}
	return out
}

func labelValues(m *dto.Metric) (text string) {
	for _, l := range m.GetLabel() {
		text += l.GetValue() + " "
	}
	return text
}

func TestConnectionsAreShown(t *testing.T) {
	reg := prometheus.NewRegistry()
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	up := newBackend(t, func(int, string) string {
		arrived <- struct{}{}
		<-release
		return ok
	})
	b := newTestBackends(t, Options{Registerer: reg})
	u := b.Upstream(configFor(up.url))
	f := func(inUse, idle float64) {
		t.Helper()
		got := gaugesOf(t, reg, "gateway_upstream_connections")
		if got[up.addr+" in_use "] != inUse || got[up.addr+" idle "] != idle || len(got) != 2 {
			t.Errorf("got %v, want %g in use and %g idle", got, inUse, idle)
		}
	}
	f(0, 0)
	done := make(chan error, 2)
	for range 2 {
		x := newExchange(t, get("/"))
		go func() {
			_, err := u.Forward(t.Context(), x)
			done <- err
		}()
	}
	<-arrived
	<-arrived
	f(2, 0)
	close(release)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	f(0, 2)
	b.Retain(nil)
	if got := gaugesOf(t, reg, "gateway_upstream_connections"); len(got) != 0 {
		t.Errorf("%v of an upstream that is gone", got)
	}
	if got := gaugesOf(t, reg, "gateway_upstream_retry_budget"); len(got) != 0 {
		t.Errorf("%v of an upstream that is gone", got)
	}
}

func TestRetryBudgetIsShown(t *testing.T) {
	reg := prometheus.NewRegistry()
	at := time.Unix(1_700_000_000, 0)
	b := newTestBackends(t, Options{Registerer: reg, Now: func() time.Time { return at }})
	u := b.Upstream(configFor("http://10.0.0.1:80"))
	f := func(want float64) {
		t.Helper()
		if got := gaugesOf(t, reg, "gateway_upstream_retry_budget")["10.0.0.1:80 "]; got != want {
			t.Errorf("got %g, want %g", got, want)
		}
	}
	f(10)
	for range 4 {
		u.members[0].target.budget.spend(at)
	}
	f(6)
	at = at.Add(1500 * time.Millisecond)
	f(7.5)
	at = at.Add(time.Hour)
	f(10)
}
