package telemetry

// headers is a carrier to read from.
type headers struct {
	parent string
	state  string
}

// Get implements [propagation.TextMapCarrier].
func (h headers) Get(key string) string {
	switch key {
	case "traceparent":
		return h.parent
	case "tracestate":
		return h.state
	}
	return ""
}

// Set implements [propagation.TextMapCarrier].
func (headers) Set(string, string) {}

// Keys implements [propagation.TextMapCarrier].
func (headers) Keys() []string { return []string{"traceparent", "tracestate"} }

// setter is a carrier to write to.
type setter func(key, value string)

// Get implements [propagation.TextMapCarrier].
func (setter) Get(string) string { return "" }

// Set implements [propagation.TextMapCarrier].
func (s setter) Set(key, value string) { s(key, value) }

// Keys implements [propagation.TextMapCarrier].
func (setter) Keys() []string { return nil }
