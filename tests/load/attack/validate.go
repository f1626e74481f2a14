package attack

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// faults collects what is wrong with a file, each with its place.
type faults []error

func (f *faults) unless(ok bool, path, allowed string, got any) {
	if !ok {
		*f = append(*f, fmt.Errorf("%s: must be %s, got %v", path, allowed, got))
	}
}

// validate reports all faults at once.
func (f *File) validate() error {
	var wrong faults
	for _, name := range slices.Sorted(maps.Keys(f.Limits)) {
		limit := f.Limits[name]
		wrong.unless(limit.RPS > 0, "limits."+name+".rps", "more than 0", limit.RPS)
		wrong.unless(limit.Burst >= 1, "limits."+name+".burst", "at least 1", limit.Burst)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Scenarios)) {
		s, at := f.Scenarios[name], "scenarios."+name
		wrong.unless(s.Seconds > 0, at+".seconds", "more than 0", s.Seconds)
		wrong.unless(len(s.Targets) > 0, at+".targets", "at least one", "none")
		for i, t := range s.Targets {
			wrong.target(f, fmt.Sprintf("%s.targets[%d]", at, i), t)
		}
		wrong.thresholds(at+".thresholds", s)
	}
	return errors.Join(wrong...)
}

func (f *faults) target(file *File, at string, t Target) {
	_, known := file.Limits[t.Limit]
	f.unless(t.Name != "", at+".name", "given", `""`)
	f.unless(slices.Contains([]string{"GET", "HEAD", "DELETE"}, t.Method), at+".method", "GET, HEAD or DELETE", fmt.Sprintf("%q", t.Method))
	f.unless(strings.HasPrefix(t.Path, "/"), at+".path", "a path that begins with /", fmt.Sprintf("%q", t.Path))
	f.unless(t.Limit == "" || known, at+".limit", "one of limits", fmt.Sprintf("%q", t.Limit))
	f.unless(t.Users >= 0, at+".users", "at least 0", t.Users)
	f.unless(t.Churn == 0 || t.Churn > 0 && t.Users > 0, at+".churn", "0, or at least 1 with users", t.Churn)
	ways := 0
	for _, given := range []float64{t.Share, t.Rate, float64(t.Workers)} {
		f.unless(given >= 0, at, "asked for by no negative number", given)
		if given > 0 {
			ways++
		}
	}
	f.unless(ways == 1, at, "given exactly one of share, rate, workers", ways)
	f.unless(t.Share == 0 || known, at+".share", "of a limit that is named", t.Share)
}

func (f *faults) thresholds(at string, s Scenario) {
	l := s.Thresholds
	f.unless(l.Errors >= 0 && l.Errors < 1, at+".errors", "from 0 to below 1", l.Errors)
	f.unless(l.P99MS >= 0, at+".p99_ms", "at least 0", l.P99MS)
	f.unless(l.Offered >= 0 && l.Offered <= 1, at+".offered", "from 0 to 1", l.Offered)
	if l.Admitted == nil {
		return
	}
	f.unless(l.Admitted.Least <= l.Admitted.Most, at+".admitted.most", "at least least", l.Admitted.Most)
	for _, t := range s.Targets {
		f.unless(t.Limit != "" && t.Churn == 0, at+".admitted", "left out unless every target has a limit and keeps its users", t.Name)
	}
}
