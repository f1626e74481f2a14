package router

import (
	"errors"
	"fmt"
	"strings"
)

// Rewrite makes an upstream's path out of the one a route matched. It is
// immutable and safe for concurrent use.
type Rewrite struct {
	parts  []part
	rest   bool // what the route's trailing /* matched follows
	prefix int  // segments of the route before its trailing /*
}

// part is a literal with its slashes, or one segment of the matched path.
type part struct {
	literal string
	place   int // if literal is ""
}

// NewRewrite takes a route's path and a template such as "/v2/people/:id/*": its
// parameters stand for those of the path, a trailing "/*" for what the path's
// trailing "/*" matched, slash included. The error begins with "rewrite: ".
func NewRewrite(path, template string) (*Rewrite, error) {
	from, err := parsePattern(path)
	if err != nil {
		return nil, fmt.Errorf("rewrite: must belong to a path that is one, got %q for %q", template, path)
	}
	to, err := parsePattern(template)
	if err != nil {
		return nil, fmt.Errorf("rewrite: %w, got %q", err, template)
	}
	if to.below && !from.below {
		return nil, fmt.Errorf("rewrite: must end in /* only if path does, got %q for %q", template, path)
	}
	r := &Rewrite{rest: to.below, prefix: len(from.segments)}
	for _, s := range to.segments {
		next, err := from.part(s)
		if err != nil {
			return nil, fmt.Errorf("rewrite: %w, got %q for %q", err, template, path)
		}
		r.parts = append(r.parts, next)
	}
	return r, nil
}

func (p pattern) part(s segment) (part, error) {
	switch place := p.place(s.text); {
	case !s.wild:
		return part{literal: "/" + s.text}, nil
	case s.text == "":
		return part{}, errors.New("must have no * before its end: name the parameter in path")
	case place < 0:
		return part{}, fmt.Errorf("must name parameters of path only, not :%s", s.text)
	default:
		return part{place: place}, nil
	}
}

// Apply returns the upstream's path for a canonical path that the route matched.
// The result is canonical too: only whole segments are put together.
func (r *Rewrite) Apply(path string) string {
	var stack [256]byte
	out := stack[:0]
	for _, p := range r.parts {
		if p.literal != "" {
			out = append(out, p.literal...)
			continue
		}
		_, after := cutSegments(path, p.place)
		first, _ := cutSegments(after, 1)
		out = append(out, first...)
	}
	if r.rest {
		_, after := cutSegments(path, r.prefix)
		out = append(out, after...)
	}
	if len(out) == 0 {
		return "/"
	}
	return string(out)
}

// cutSegments splits a path after its first n segments, each with the slash
// before it.
func cutSegments(path string, n int) (first, after string) {
	end := 0
	for ; n > 0 && end < len(path); n-- {
		next := strings.IndexByte(path[end+1:], '/')
		if next < 0 {
			return path, ""
		}
		end += 1 + next
	}
	return path[:end], path[end:]
}
