package telemetry

import (
	"testing"
	"time"
)

func TestStamp(t *testing.T) {
	var s stamp
	f := func(at time.Time, want string) {
		t.Helper()
		if got := string(s.append([]byte("at "), at)); got != "at "+want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	at := time.Date(2026, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	f(at, "2026-12-31T23:59:59.999Z")
	f(at.Add(-993*time.Millisecond), "2026-12-31T23:59:59.006Z")
	f(at.Add(time.Nanosecond), "2027-01-01T00:00:00.000Z")
	f(at.In(time.FixedZone("", 3600)), "2026-12-31T23:59:59.999Z")
	f(time.Unix(-1, 1), "1969-12-31T23:59:59.000Z")
}
