package telemetry

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"runtime/debug"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// MetricsFormat is a way to write metrics, chosen by [NegotiateMetrics].
type MetricsFormat struct {
	// ContentType is the Content-Type of what [MetricsFormat.Write] writes.
	ContentType string
	openMetrics bool
}

// NegotiateMetrics picks the format by the Accept header of a scrape: OpenMetrics 1.0, which carries exemplars,
// for those that name it, else Prometheus' text format, which everything understands. Weights do not matter:
// whoever knows the former prefers it.
func NegotiateMetrics(accept string) MetricsFormat {
	for offer := range strings.SplitSeq(accept, ",") {
		kind, parameters, err := mime.ParseMediaType(offer)
		if err == nil && kind == "application/openmetrics-text" && parameters["version"] == "1.0.0" && parameters["q"] != "0" {
			return MetricsFormat{ContentType: kind + "; version=1.0.0; charset=utf-8", openMetrics: true}
		}
	}
	return MetricsFormat{ContentType: "text/plain; version=0.0.4; charset=utf-8"}
}

// Write writes all metrics. When only some of them can be gathered, those are written and the error says what
// is missing; it is also returned when w fails.
func (f MetricsFormat) Write(w io.Writer, g prometheus.Gatherer) error {
	families, gatherErr := g.Gather()
	for _, family := range families {
		if err := f.writeFamily(w, family); err != nil {
			return errors.Join(gatherErr, fmt.Errorf("cannot write metric %s: %w", family.GetName(), err))
		}
	}
	if gatherErr != nil {
		return fmt.Errorf("cannot gather all metrics: %w", gatherErr) // and no word that this was all
	}
	if f.openMetrics {
		if _, err := expfmt.FinalizeOpenMetrics(w); err != nil {
			return fmt.Errorf("cannot write the end of the metrics: %w", err)
		}
	}
	return nil
}

func (f MetricsFormat) writeFamily(w io.Writer, family *dto.MetricFamily) (err error) {
	if f.openMetrics {
		_, err = expfmt.MetricFamilyToOpenMetrics(w, family)
	} else {
		_, err = expfmt.MetricFamilyToText(w, family)
	}
	return err
}

// BuildInfo registers gateway_build_info, a constant 1 labelled with the version, the commit that the binary
// was built from, if it knows, and the Go version. It panics if reg has it already.
func BuildInfo(reg prometheus.Registerer, version, goVersion string) {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "gateway_build_info",
		Help:        "Constant 1; the labels say which version runs.",
		ConstLabels: prometheus.Labels{"version": version, "commit": commit(), "goversion": goVersion},
	})
	info.Set(1)
	reg.MustRegister(info)
}

// commit is what the Go tool noted of the repository, "unknown" outside of one.
func commit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
