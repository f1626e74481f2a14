// Package telemetry shows what the gateway does: logs, metrics and traces.
//
// Everything here stands beside the request and never in its way. The access log is written by
// [LogWriter] from a bounded buffer, so that a slow disk or a full pipe costs log lines and not requests.
// [Requests] resolves a metric series once per route, method and status class and counts with atomic
// additions afterwards. [Tracing] exports sampled spans in the background over OTLP/HTTP; an unsampled
// request costs two identifiers.
//
// The trade-off is the same everywhere: under pressure evidence is lost before traffic is delayed. The
// failure mode is therefore a gap, and a gap is never silent: dropped lines are counted in
// gateway_log_dropped_total, dropped spans in gateway_trace_spans_dropped_total.
//
// The exporter is our own, a hundred lines over net/http, because the official one brings gRPC and text
// templates into the binary. It knows one encoding (protobuf), one retry and no compression.
package telemetry
