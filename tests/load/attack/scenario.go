package attack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// File is what tests/load/scenarios.json holds. The k6 scripts read the same one.
type File struct {
	Limits    map[string]Limit    `json:"limits"` // by name, as config.yaml sets them
	Scenarios map[string]Scenario `json:"scenarios"`
}

// Limit is one token bucket.
type Limit struct {
	RPS   float64 `json:"rps"`
	Burst float64 `json:"burst"`
}

// Scenario is a load and what is demanded of the answers.
type Scenario struct {
	About      string     `json:"about"`
	Seconds    float64    `json:"seconds"`
	Targets    []Target   `json:"targets"`
	Thresholds Thresholds `json:"thresholds"`
}

// Target is one stream of requests. Share, Rate and Workers are three ways to say
// how many; exactly one is set.
type Target struct {
	Name   string `json:"name"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Limit  string `json:"limit"` // whose bucket the requests meet, if any
	Users  int    `json:"users"` // who ask in turn, each with a token; 0: nobody in particular
	Churn  int    `json:"churn"` // requests after which a user gives way to a new one; 0: never

	Share   float64 `json:"share"`   // of the limit's rate, for each user
	Rate    float64 `json:"rate"`    // requests a second
	Workers int     `json:"workers"` // each asks again when it is answered
}

// Thresholds are what a scenario must keep to; what is left out is not judged.
type Thresholds struct {
	Errors   float64   `json:"errors"`   // the largest part of answers that are none of those wanted
	P99MS    float64   `json:"p99_ms"`   // the largest 99th percentile, ms
	Offered  float64   `json:"offered"`  // the smallest part of the load that left at all
	Admitted *Admitted `json:"admitted"` // refusals are wanted, and this much is admitted
}

// Admitted bounds what is admitted as parts of burst + rate·time.
type Admitted struct {
	Least float64 `json:"least"`
	Most  float64 `json:"most"`
}

// Read reads a file and checks it. Its errors name the field, what is allowed and
// what was given.
func Read(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var f File
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	if err := f.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &f, nil
}

// Scenario returns the one of that name.
func (f *File) Scenario(name string) (Scenario, error) {
	s, known := f.Scenarios[name]
	if !known {
		names := slices.Sorted(maps.Keys(f.Scenarios))
		return s, fmt.Errorf("scenario: must be one of %s, got %q", strings.Join(names, ", "), name)
	}
	return s, nil
}

// rate is how many requests a second the target sends, 0 if as many as are answered.
func (f *File) rate(t Target) float64 {
	if t.Share > 0 {
		return t.Share * f.Limits[t.Limit].RPS * float64(max(t.Users, 1))
	}
	return t.Rate
}

// due is what the target's buckets admit in a time that begins with full ones.
func (f *File) due(t Target, lasted time.Duration) float64 {
	limit := f.Limits[t.Limit]
	return (limit.Burst + limit.RPS*lasted.Seconds()) * float64(max(t.Users, 1))
}

// Refill is how long the scenario's buckets take to be full, whatever was before.
func (f *File) Refill(s Scenario) time.Duration {
	var longest float64
	for _, t := range s.Targets {
		if limit := f.Limits[t.Limit]; t.Limit != "" {
			longest = max(longest, limit.Burst/limit.RPS)
		}
	}
	return time.Duration(longest * float64(time.Second))
}
