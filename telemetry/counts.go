package telemetry

import (
	"net/http"

	dto "github.com/prometheus/client_model/go"
)

// Counts returns how many requests of the route were answered since it is counted,
// and how many of them with a 5xx. It reads the counters that are there and costs
// their writers nothing.
func (rt *Route) Counts() (requests, failed uint64) {
	const class5xx = http.StatusInternalServerError/100 - 1
	for method := range rt.counters {
		for class := range rt.counters[method] {
			counter := rt.counters[method][class].Load()
			if counter == nil {
				continue
			}
			var m dto.Metric
			if (*counter).Write(&m) != nil {
				continue
			}
			n := uint64(m.GetCounter().GetValue())
			requests += n
			if class == class5xx {
				failed += n
			}
		}
	}
	return requests, failed
}
