package config

import (
	"errors"
	"fmt"
	"strings"
)

// Problem is one fault of a configuration file.
type Problem struct {
	Line int    // 1-based; 0 if no line belongs to it, as for a missing key
	Path string // e.g. routes[3].rate_limit.rps
	Text string // what is allowed and what was given
}

// Error returns "routes[3].rate_limit.rps: must be at least 1, got 0 (line 41)".
func (p *Problem) Error() string {
	text := p.Text
	if p.Path != "" {
		text = p.Path + ": " + text
	}
	if p.Line > 0 {
		text = fmt.Sprintf("%s (line %d)", text, p.Line)
	}
	return text
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

// locate gives problems found after decoding the line of their path, or of the
// nearest section around it.
func locate(errs []error, lines map[string]int) {
	for _, e := range errs {
		p, ok := e.(*Problem) //nolint:errorlint // only bare problems are in the list
		if !ok || p.Line > 0 {
			continue
		}
		for path := p.Path; path != "" && p.Line == 0; path = parent(path) {
			p.Line = lines[path]
		}
	}
}

func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}
