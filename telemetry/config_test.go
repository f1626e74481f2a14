package telemetry

import (
	"math"
	"strings"
	"testing"
)

func TestDefaultsAreValid(t *testing.T) {
	if err := DefaultLogConfig().Validate(); err != nil {
		t.Errorf("log: %v", err)
	}
	if err := DefaultTraceConfig().Validate(); err != nil {
		t.Errorf("otel: %v", err)
	}
}

func TestLogConfigValidate(t *testing.T) {
	f := func(c LogConfig, want string) {
		t.Helper()
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	f(LogConfig{Level: "info", Access: "some"}, `access: must be one of all, errors, off, got "some"`)
	f(LogConfig{Level: "INFO", Access: "off"}, `level: must be one of debug, info, warn, error, got "INFO"`)
	f(LogConfig{Level: "info", Access: "all", AccessSample: 1.5}, "access_sample: must be between 0 and 1, got 1.5")
	f(LogConfig{Level: "info", Access: "all", AccessSample: -1}, "access_sample: must be between 0 and 1, got -1")
	f(LogConfig{Level: "info", Access: "all", AccessSample: math.NaN()}, "access_sample: must be between 0 and 1, got NaN")
	f(LogConfig{}, `level: must be one of debug, info, warn, error, got ""`+"\n"+`access: must be one of all, errors, off, got ""`)
}

func TestLogsAccess(t *testing.T) {
	f := func(access string, share float64, status int, chance float64, want bool) {
		t.Helper()
		c := LogConfig{Access: access, AccessSample: share}
		if got := c.LogsAccess(status, func() float64 { return chance }); got != want {
			t.Errorf("%s of %g, %d: got %v", access, share, status, got)
		}
	}
	f(AccessAll, 1, 200, 0.99, true)
	f(AccessAll, 0.1, 200, 0.09, true)
	f(AccessAll, 0.1, 399, 0.1, false)
	f(AccessAll, 0.1, 400, 0.99, true) // errors always
	f(AccessAll, 0, 200, 0, false)
	f(AccessAll, 0, 502, 0.99, true)
	f(AccessErrors, 1, 399, 0, false)
	f(AccessErrors, 1, 400, 0.99, true)
	f(AccessErrors, 0, 502, 0.99, true)
	f(AccessOff, 1, 500, 0, false)
	f(AccessOff, 1, 200, 0, false)
}

func TestTraceConfigValidate(t *testing.T) {
	f := func(change func(*TraceConfig), want string) {
		t.Helper()
		c := DefaultTraceConfig()
		change(&c)
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	endpoint := func(e string) func(*TraceConfig) { return func(c *TraceConfig) { c.Endpoint = e } }
	f(endpoint("jaeger"), `endpoint: must be host:port or an http(s) URL, got "jaeger"`)
	f(endpoint("grpc://jaeger:4317"), `endpoint: must be host:port or an http(s) URL without a query, got "grpc://jaeger:4317"`)
	f(endpoint(":4318"), `endpoint: must be host:port or an http(s) URL without a query, got ":4318"`)
	f(endpoint("http://jaeger?a=b"), `endpoint: must be host:port or an http(s) URL without a query, got "http://jaeger?a=b"`)
	f(endpoint("http://ja\x7f"), `endpoint: must be host:port or an http(s) URL, got one that cannot be parsed`)
	f(func(c *TraceConfig) { c.ServiceName = "" }, `service_name: must not be empty, got ""`)
	f(func(c *TraceConfig) { c.SampleRatio = 1.1 }, "sample_ratio: must be between 0 and 1, got 1.1")
	f(func(c *TraceConfig) { c.SampleRatio = -1 }, "sample_ratio: must be between 0 and 1, got -1")
	f(func(c *TraceConfig) { c.SampleRatio = math.NaN() }, "sample_ratio: must be between 0 and 1, got NaN")

	err := TraceConfig{Endpoint: "http://me:hidden@jaeger:4318", ServiceName: "x"}.Validate()
	if err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
}

func TestTraceConfigURL(t *testing.T) {
	f := func(endpoint, want string) {
		t.Helper()
		if got, err := (TraceConfig{Endpoint: endpoint}).url(); got != want || err != nil {
			t.Errorf("%q: got %q, %v, want %q", endpoint, got, err, want)
		}
	}
	f("", "")
	f("jaeger:4318", "http://jaeger:4318/v1/traces")
	f("[::1]:4318", "http://[::1]:4318/v1/traces")
	f("http://jaeger:4318", "http://jaeger:4318/v1/traces")
	f("https://jaeger/", "https://jaeger/v1/traces")
	f("https://collector/otlp/v1/traces", "https://collector/otlp/v1/traces")
}
