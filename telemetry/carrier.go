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
