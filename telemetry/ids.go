package telemetry

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	"go.opentelemetry.io/otel/trace"
)

// idGenerator makes the identifiers of recorded spans.
type idGenerator struct{}

// NewIDs implements [sdktrace.IDGenerator].
func (idGenerator) NewIDs(context.Context) (trace.TraceID, trace.SpanID) {
	return randomTraceID(), randomSpanID()
}

// NewSpanID implements [sdktrace.IDGenerator].
func (idGenerator) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return randomSpanID() }

// The identifiers need to be unique and not secret, hence the fast generator. Zero is not valid in either.

func randomTraceID() (id trace.TraceID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:8], rand.Uint64())
		binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id
}

func randomSpanID() (id trace.SpanID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}
