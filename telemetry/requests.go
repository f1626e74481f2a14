package telemetry

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	methodSlots = 10 // the nine known methods and OTHER
	classSlots  = 6  // 1xx to 5xx and other
	routeLabel  = "route"
)

// Requests counts requests per route. It is safe for concurrent use.
//
//	http_requests_total{route,method,status}   status is a class: "2xx"
//	http_request_duration_seconds{route}       histogram
//	http_requests_in_flight                    gauge
type Requests struct {
	total    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge

	mu     sync.Mutex
	routes map[string]*Route
}

// Route counts the requests of one route. Its series appear with their first request. It is safe for
// concurrent use.
type Route struct {
	requests *Requests
	label    string
	retired  bool // guarded by requests.mu

	duration atomic.Pointer[prometheus.Observer]
	counters [methodSlots][classSlots]atomic.Pointer[prometheus.Counter]
}

// NewRequests registers the request metrics. It panics if reg has them already.
func NewRequests(reg prometheus.Registerer) *Requests {
	r := &Requests{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total",
			Help: "Requests answered, by route template, method and status class.",
		}, []string{routeLabel, "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "http_request_duration_seconds",
			Help:    "Time from the request's arrival to the end of its answer, by route template.",
			Buckets: durationBuckets(),
		}, []string{routeLabel}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "http_requests_in_flight",
			Help: "Requests being answered right now.",
		}),
		routes: map[string]*Route{},
	}
	reg.MustRegister(r.total, r.duration, r.inFlight)
	return r
}

// durationBuckets are narrow where the promises are: from 1 to 100 ms no bound is more than half as large again
// as the one before, which bounds the error of a quantile.
func durationBuckets() []float64 {
	return []float64{
		.0005, .001, .0015, .002, .003, .004, .005, .0075, .01, .015, .02, .03, .04, .05, .075, .1, .25, .5, 1, 2.5, 5, 10,
	}
}

// InFlight returns the gauge of the requests being answered; the caller counts up and down.
func (r *Requests) InFlight() prometheus.Gauge { return r.inFlight }

// Route returns the metrics of a route template, which must not be a path: every label is a time series.
// The same label gives the same Route. Call it when a configuration is built, not per request.
func (r *Requests) Route(label string) *Route {
	r.mu.Lock()
	defer r.mu.Unlock()
	rt, ok := r.routes[label]
	if !ok {
		rt = &Route{requests: r, label: label}
		r.routes[label] = rt
	}
	return rt
}

// Retain deletes the series of all routes but the labels given. Requests that are still running on a
// deleted route are no longer counted. A label that comes back gets a new [Route] and starts at zero.
func (r *Requests) Retain(labels map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for label, rt := range r.routes {
		if labels[label] {
			continue
		}
		rt.retired = true
		delete(r.routes, label)
		r.total.DeletePartialMatch(prometheus.Labels{routeLabel: label})
		r.duration.DeletePartialMatch(prometheus.Labels{routeLabel: label})
	}
}

// Observe counts one finished request. The trace id, if it is not "", becomes an exemplar of its duration's
// bucket; it should be that of a trace that is recorded. Without one Observe does not allocate once the series
// exists.
func (rt *Route) Observe(method string, status int, d time.Duration, traceID string) {
	m, c := methodSlot(method), classSlot(status)
	counter := rt.counters[m][c].Load()
	if counter == nil {
		counter = rt.resolveCounter(m, c)
	}
	duration := rt.duration.Load()
	if duration == nil {
		duration = rt.resolveDuration()
	}
	if counter == nil || duration == nil {
		return // retired
	}
	(*counter).Inc()
	if traceID == "" {
		(*duration).Observe(d.Seconds())
		return
	}
	//nolint:forcetypeassert // a histogram takes exemplars
	(*duration).(prometheus.ExemplarObserver).ObserveWithExemplar(d.Seconds(), prometheus.Labels{"trace_id": traceID})
}

// resolveCounter makes the series, unless the route is retired: then it would come back for good.
func (rt *Route) resolveCounter(method, class int) *prometheus.Counter {
	rt.requests.mu.Lock()
	defer rt.requests.mu.Unlock()
	if rt.retired {
		return nil
	}
	counter := rt.requests.total.WithLabelValues(rt.label, methodName(method), className(class))
	rt.counters[method][class].Store(&counter)
	return &counter
}

func (rt *Route) resolveDuration() *prometheus.Observer {
	rt.requests.mu.Lock()
	defer rt.requests.mu.Unlock()
	if rt.retired {
		return nil
	}
	observer := rt.requests.duration.WithLabelValues(rt.label)
	rt.duration.Store(&observer)
	return &observer
}

// methodSlot maps a method to its place; unknown ones share the last, or a client could make series.
func methodSlot(method string) int {
	switch method {
	case http.MethodGet:
		return 0
	case http.MethodHead:
		return 1
	case http.MethodPost:
		return 2
	case http.MethodPut:
		return 3
	case http.MethodPatch:
		return 4
	case http.MethodDelete:
		return 5
	case http.MethodConnect:
		return 6
	case http.MethodOptions:
		return 7
	case http.MethodTrace:
		return 8
	}
	return methodSlots - 1
}

func methodName(slot int) string {
	return [methodSlots]string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace, "OTHER",
	}[slot]
}

func classSlot(status int) int {
	if status < 100 || status > 599 {
		return classSlots - 1
	}
	return status/100 - 1
}

func className(slot int) string {
	return [classSlots]string{"1xx", "2xx", "3xx", "4xx", "5xx", "other"}[slot]
}
