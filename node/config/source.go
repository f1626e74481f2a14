package config

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// place is where something stands in the text; both count from 1, columns in
// characters.
type place struct{ line, column int }

// source is the text of a configuration with what was learned about it.
type source struct {
	lines  []string // secrets replaced
	places map[string]place
}

func newSource(text []byte, places map[string]place, secrets []*yaml.Node) *source {
	s := &source{lines: strings.Split(string(text), "\n"), places: places}
	for _, n := range secrets {
		s.hide(n)
	}
	return s
}

// isSecret reports whether the value at a path is one or may be.
func isSecret(path string) bool {
	for _, known := range []string{"jwt.secret", "admin.token", "redis.password", "redis.sentinel_password"} {
		if path == known {
			return true
		}
	}
	return strings.HasPrefix(path, "cluster.secret_key") || strings.HasPrefix(path, "api_keys[") && strings.HasSuffix(path, ".hash") ||
		strings.Contains(path, ".request_headers.set.") || strings.Contains(path, ".request_headers.add.")
}

// reference is a value that names a variable and nothing else, which is no secret.
var reference = regexp.MustCompile(`^\$\{\w+(:-)?\}$`)

// hide replaces what stands at n and in it.
func (s *source) hide(n *yaml.Node) {
	for _, child := range n.Content {
		s.hide(child)
	}
	if n.Kind != yaml.ScalarNode || n.Line < 1 || n.Line > len(s.lines) || reference.MatchString(n.Value) {
		return
	}
	first := []rune(s.lines[n.Line-1])
	start := min(n.Column-1, len(first))
	if quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0; !quoted && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		value := []rune(n.Value)
		if end := start + len(value); end <= len(first) && string(first[start:end]) == n.Value {
			s.lines[n.Line-1] = string(first[:start]) + strings.Repeat("*", len(value)) + string(first[end:])
			return
		}
	}
	s.hideLong(n, first, start)
}

// hideLong replaces a value whose end is not where its text says: one that is
// quoted, or goes on in lines below. Too much may go, never too little.
func (s *source) hideLong(n *yaml.Node, first []rune, start int) {
	quote := '"'
	if n.Style&yaml.SingleQuotedStyle != 0 {
		quote = '\''
	}
	if end := closing(first, start, quote); end > 0 {
		s.lines[n.Line-1] = string(first[:start+1]) + strings.Repeat("*", end-start-1) + string(first[end:])
		return
	}
	s.lines[n.Line-1] = string(first[:start]) + "***"
	indent := len(string(first)) - len(strings.TrimLeft(string(first), " "))
	for i := n.Line; i < len(s.lines); i++ {
		text := strings.TrimLeft(s.lines[i], " ")
		if text != "" && len(s.lines[i])-len(text) <= indent {
			return
		}
		s.lines[i] = "***"
	}
}

// closing is where the quote that opens at start ends, 0 if not on this line.
func closing(line []rune, start int, quote rune) int {
	if start >= len(line) || line[start] != quote {
		return 0
	}
	for i := start + 1; i < len(line); i++ {
		switch {
		case line[i] == '\\' && quote == '"':
			i++
		case line[i] == quote && quote == '\'' && i+1 < len(line) && line[i+1] == quote:
			i++
		case line[i] == quote:
			return i
		}
	}
	return 0
}

// locate gives problems found after decoding the place of their path, or of the
// nearest section around it.
func (s *source) locate(errs []error) {
	for _, e := range errs {
		p, ok := e.(*Problem) //nolint:errorlint // only bare problems are in the list
		if !ok || p.Line > 0 {
			continue
		}
		for path := p.Path; path != "" && p.Line == 0; path = parent(path) {
			at := s.places[path]
			p.Line, p.Column = at.line, at.column
		}
	}
}

// quote gives problems the line they stand on.
func (s *source) quote(errs []error) {
	for _, e := range errs {
		var p *Problem
		if errors.As(e, &p) && p.Line > 0 && p.Line <= len(s.lines) {
			p.Source = strings.TrimRight(s.lines[p.Line-1], "\r")
		}
	}
}

// Locate makes a fault found after parsing a Problem with its place. Its text
// must begin with a path.
func (c *Config) Locate(err error) error {
	errs := under("", err)
	c.source.locate(errs)
	c.source.quote(errs)
	return errors.Join(errs...)
}

var (
	syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?((?s).*)$`)
	// What the parser, as opposed to the scanner before it, complains of: it names
	// the line above the one where the section begins that has the fault.
	unexpected = regexp.MustCompile(`^did not find expected (<|node content|'-' indicator|key|',' or)`)
)

// syntaxProblem is what the YAML library says, which knows lines and no columns.
// The line is quoted up to its colon: what follows may be a secret.
func syntaxProblem(text []byte, err error) error {
	line, said := 1, err.Error()
	if m := syntaxLine.FindStringSubmatch(said); m != nil {
		said = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
		if m[1] != "" && unexpected.MatchString(said) {
			line++
		}
	}
	if unexpected.MatchString(said) {
		said += " in what begins here"
	}
	s := newSource(text, nil, nil)
	line = min(line, len(s.lines))
	p := &Problem{Line: line, Text: "cannot parse YAML: " + said}
	if key, _, more := strings.Cut(s.lines[line-1], ":"); more {
		s.lines[line-1] = key + ": …"
	}
	s.quote([]error{p})
	p.Column = len(p.Source) - len(strings.TrimLeft(p.Source, " ")) + 1
	return p
}
