package stage

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Spread is the median of a figure and its range.
type Spread struct{ Median, Low, High float64 }

// SpreadOf sorts the values, of which there is at least one.
func SpreadOf(values []float64) Spread {
	slices.Sort(values)
	return Spread{values[len(values)/2], values[0], values[len(values)-1]}
}

// Format writes the median and, in brackets, the range.
func (s Spread) Format(layout string) string {
	return fmt.Sprintf(layout+" ("+layout+"–"+layout+")", s.Median, s.Low, s.High)
}

// Place is the part of a document that a command writes.
type Place struct{ Command string }

// Begin is the line after which the part stands, End the one before which.
func (p Place) Begin() string { return "<!-- " + p.Command + " writes from here -->\n" }

// End ends a part.
func (Place) End() string { return "<!-- to here -->\n" }

// Replace writes text where the part stands in the file.
func (p Place) Replace(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(old), p.Begin())
	_, after, ended := strings.Cut(rest, p.End())
	if !found || !ended {
		return fmt.Errorf("%s has no place for the table: want lines %q and %q", path, p.Begin(), p.End())
	}
	return os.WriteFile(path, []byte(before+p.Begin()+text+p.End()+after), 0o644)
}

// Commit is the one that is checked out, as far as git knows.
func Commit() string {
	out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// CPUModel is the processor's name.
func CPUModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	_, rest, _ := strings.Cut(string(text), "model name\t: ")
	model, _, _ := strings.Cut(rest, "\n")
	return model
}
