package telemetry

import (
	"errors"
	"fmt"
	"io"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// MetricsContentType is the Content-Type of what [WriteMetrics] writes.
const MetricsContentType = "text/plain; version=0.0.4; charset=utf-8"

// WriteMetrics writes all metrics in the Prometheus text format. When only some of them can be gathered,
// those are written and the error says what is missing; it is also returned when w fails.
func WriteMetrics(w io.Writer, g prometheus.Gatherer) error {
	families, gatherErr := g.Gather()
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(w, family); err != nil {
			return errors.Join(gatherErr, fmt.Errorf("cannot write metric %s: %w", family.GetName(), err))
		}
	}
	if gatherErr != nil {
		return fmt.Errorf("cannot gather all metrics: %w", gatherErr)
	}
	return nil
}

// BuildInfo registers gateway_build_info, a constant 1 labelled with the versions. It panics if reg has it
// already.
func BuildInfo(reg prometheus.Registerer, version, goVersion string) {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "gateway_build_info",
		Help:        "Constant 1; the labels say which version runs.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": goVersion},
	})
	info.Set(1)
	reg.MustRegister(info)
}
