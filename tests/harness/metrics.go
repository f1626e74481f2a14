package harness

import (
	"strconv"
	"strings"
)

// Samples are the lines of a metrics page.
type Samples []sample

type sample struct {
	name, labels string
	value        float64
}

// ParseMetrics reads Prometheus' text format; lines it does not understand are
// left out.
func ParseMetrics(text string) Samples {
	var all Samples
	for line := range strings.Lines(text) {
		series, number, found := strings.Cut(strings.TrimSpace(line), "} ")
		if !found {
			series, number, found = strings.Cut(strings.TrimSpace(line), " ")
		}
		value, err := strconv.ParseFloat(number, 64)
		if !found || err != nil || strings.HasPrefix(series, "#") {
			continue
		}
		name, labels, _ := strings.Cut(series, "{")
		all = append(all, sample{name, labels, value})
	}
	return all
}

// Sum adds up the series of a name that have all the labels, each written as
// name="value".
func (s Samples) Sum(name string, labels ...string) float64 {
	var sum float64
	for _, one := range s {
		if one.name == name && containsAll(one.labels, labels) {
			sum += one.value
		}
	}
	return sum
}

// Has reports whether there is a series of that name.
func (s Samples) Has(name string) bool {
	for _, one := range s {
		if one.name == name {
			return true
		}
	}
	return false
}

// Above returns how many observations of a histogram lie above the bucket bound
// le, and how many there are. le must be one of its bounds.
func (s Samples) Above(histogram, le string) (above, all float64) {
	all = s.Sum(histogram + "_count")
	return all - s.Sum(histogram+"_bucket", `le="`+le+`"`), all
}
