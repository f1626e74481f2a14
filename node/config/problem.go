package config

import (
	"errors"
	"fmt"
	"strings"
)

// Problem is one fault of a configuration file.
type Problem struct {
	Line   int    // 1-based; 0 if no line belongs to it, as for a missing section
	Column int    // 1-based, in characters; 0 if only the line is known
	Path   string // e.g. routes[3].rate_limit.rps
	Text   string // what is allowed and what was given
	Source string // the line as it stands in the file, its secrets replaced; "" without a line
}

// Error returns "routes[3].rate_limit.rps: must be at least 1, got 0 (line 41)".
func (p *Problem) Error() string {
	if p.Line > 0 {
		return fmt.Sprintf("%s (line %d)", p.Message(), p.Line)
	}
	return p.Message()
}

// Message is Error without the line.
func (p *Problem) Message() string {
	if p.Path == "" {
		return p.Text
	}
	return p.Path + ": " + p.Text
}

// under turns the faults that a package's Validate found into problems of the
// section they stand in.
func under(section string, err error) []error {
	var out []error
	for _, e := range flatten(err) {
		path, text, found := strings.Cut(e.Error(), ": ")
		if !found {
			path, text = "", e.Error()
		}
		out = append(out, &Problem{Path: strings.TrimSuffix(join(section, path), "."), Text: text})
	}
	return out
}

// flatten lists the errors that errors.Join put together.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, flatten(e)...)
	}
	return out
}

func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}
