package router

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// pattern is a route's path taken apart.
type pattern struct {
	segments []segment
	below    bool // ends in /*: the path before it and everything below
}

// segment is a literal, or wild: any one segment that is not empty.
type segment struct {
	text string // the literal, or the parameter's name, "" for *
	wild bool
}

var (
	errNotCanonical = errors.New("must be a canonical path such as /api/users, /api/users/*, /users/:id/* or /a/*/b")
	errParameter    = errors.New("must name each parameter once, by letters, digits and _ after the colon")
)

// parsePattern reads a path with parameters (":id"), single-segment wildcards
// ("*") and a trailing "/*".
func parsePattern(text string) (pattern, error) {
	var p pattern
	path, below := strings.CutSuffix(text, "/*")
	p.below = below
	plain := "" // the path with a harmless word for each wild segment
	for rest, more := strings.CutPrefix(path, "/"); more; {
		var word string
		word, rest, more = strings.Cut(rest, "/")
		s := segment{text: word}
		if name, named := strings.CutPrefix(word, ":"); named || word == "*" {
			if named && (!isName(name) || p.place(name) >= 0) {
				return pattern{}, errParameter
			}
			s = segment{text: strings.TrimPrefix(name, "*"), wild: true}
			word = "x"
		}
		p.segments = append(p.segments, s)
		plain += "/" + word
	}
	if plain == "" && text == "/*" {
		plain = "/"
	}
	canonical, err := CanonicalPath([]byte(plain))
	if err != nil || canonical != plain || strings.Contains(plain, "*") || below && strings.HasSuffix(path, "/") {
		return pattern{}, errNotCanonical
	}
	return p, nil
}

func isName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_':
		default:
			return false
		}
	}
	return s != ""
}

// place returns the index of the segment that a parameter stands for, or -1.
func (p pattern) place(name string) int {
	return slices.IndexFunc(p.segments, func(s segment) bool { return s.wild && s.text == name })
}

// Template is a pattern as OpenAPI writes it, without its trailing wildcard.
type Template struct {
	// Path has every wild segment as {name}; those without a name are called
	// part1, part2 and so on.
	Path string
	// Parameters are the names in Path, from left to right.
	Parameters []string
	// Below says that everything below Path matches too.
	Below bool
}

// ParseTemplate returns the template of a valid pattern.
func ParseTemplate(text string) (Template, error) {
	p, err := parsePattern(text)
	if err != nil {
		return Template{}, fmt.Errorf("path: %w, got %q", err, text)
	}
	t := Template{Below: p.below}
	for _, s := range p.segments {
		word := s.text
		if s.wild {
			name := s.text
			for n := 1; name == "" || s.text == "" && p.place(name) >= 0 || slices.Contains(t.Parameters, name); n++ {
				name = fmt.Sprintf("part%d", n)
			}
			t.Parameters = append(t.Parameters, name)
			word = "{" + name + "}"
		}
		t.Path += "/" + word
	}
	if t.Path == "" {
		t.Path = "/"
	}
	return t, nil
}
