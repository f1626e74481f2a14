package proxy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNoRoute says that no route matches the path. Answer 404.
var ErrNoRoute = errors.New("no route")

// MethodError says that routes match the path but none takes the method.
// Answer 405 with Allow as the header's value, joined by ", ".
type MethodError struct{ Allow []string }

func (e *MethodError) Error() string {
	return "method not allowed, allowed are " + strings.Join(e.Allow, ", ")
}

// Match is the part of a route the router looks at.
//
// Path is exact ("/api/users") or ends in "/*", which matches the path before
// it with and without a slash and everything below: "/api/users/*" matches
// /api/users, /api/users/ and /api/users/1, not /api/usersX. Methods lists
// upper-case names; none means all nine; GET brings HEAD with it unless another
// route names HEAD for the same path.
type Match struct {
	Path    string
	Methods []string
}

const methodCount = 9

// methodNames is a function since an array cannot be a constant.
func methodNames() [methodCount]string {
	return [methodCount]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
}

const (
	slotGet  = 0
	slotHead = 1
)

// slotOf returns the method's place in a leaf, or -1.
func slotOf(method string) int {
	switch method {
	case "GET":
		return slotGet
	case "HEAD":
		return slotHead
	case "POST":
		return 2
	case "PUT":
		return 3
	case "PATCH":
		return 4
	case "DELETE":
		return 5
	case "OPTIONS":
		return 6
	case "TRACE":
		return 7
	case "CONNECT":
		return 8
	}
	return -1
}

// Router finds the route of a request. It is immutable and safe for concurrent use.
type Router struct{ root branch }

// branch is one path segment. exact answers the path that ends here, below the
// path that ends here or goes on.
type branch struct {
	children map[string]*branch
	exact    *leaf
	below    *leaf
}

// leaf holds 1 + the index of a route for every method, 0 for none.
type leaf [methodCount]int32

// NewRouter builds a router; a route's place in the list is its index. The
// error joins all problems, each beginning with "routes[i].path: " or
// "routes[i].methods".
func NewRouter(routes []Match) (*Router, error) {
	r := &Router{}
	var problems []error
	for i, m := range routes {
		if err := checkMatch(i, m); err != nil {
			problems = append(problems, err)
			continue
		}
		if err := r.root.leafOf(m.Path).claim(i, m); err != nil {
			problems = append(problems, err)
		}
	}
	r.root.implyHead()
	return r, errors.Join(problems...)
}

func checkMatch(i int, m Match) error {
	var problems []error
	literal, _ := strings.CutSuffix(m.Path, "/*")
	if literal == "" && m.Path == "/*" {
		literal = "/"
	}
	if canonical, err := CanonicalPath([]byte(literal)); err != nil || canonical != literal || strings.Contains(literal, "*") {
		problems = append(problems, fmt.Errorf(
			"routes[%d].path: must be a canonical path such as /api/users or /api/users/*, got %q", i, m.Path))
	}
	for j, method := range m.Methods {
		if slotOf(method) < 0 {
			names := methodNames()
			problems = append(problems, fmt.Errorf("routes[%d].methods[%d]: must be one of %s, got %q",
				i, j, strings.Join(names[:], ", "), method))
		}
	}
	return errors.Join(problems...)
}

// leafOf returns the leaf of a pattern and grows the tree as needed.
func (b *branch) leafOf(pattern string) *leaf {
	path, wild := strings.CutSuffix(pattern, "/*")
	for rest, more := strings.CutPrefix(path, "/"); more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		b = b.child(segment)
	}
	slot := &b.exact
	if wild {
		slot = &b.below
	}
	if *slot == nil {
		*slot = &leaf{}
	}
	return *slot
}

func (b *branch) child(segment string) *branch {
	if b.children == nil {
		b.children = make(map[string]*branch)
	}
	next := b.children[segment]
	if next == nil {
		next = &branch{}
		b.children[segment] = next
	}
	return next
}

// claim gives route i its methods on this leaf.
func (l *leaf) claim(i int, m Match) error {
	names := methodNames()
	methods := m.Methods
	if len(methods) == 0 {
		methods = names[:]
	}
	for _, method := range slices.Compact(slices.Sorted(slices.Values(methods))) {
		slot := slotOf(method)
		if owner := l[slot]; owner != 0 {
			return fmt.Errorf("routes[%d].path: must be another than that of routes[%d] for the same method (%s), got %q",
				i, owner-1, method, m.Path)
		}
		l[slot] = int32(i + 1)
	}
	return nil
}

// implyHead runs after all explicit methods are placed, so that an explicit
// HEAD wins over one that comes with GET.
func (b *branch) implyHead() {
	for _, l := range []*leaf{b.exact, b.below} {
		if l != nil && l[slotHead] == 0 {
			l[slotHead] = l[slotGet]
		}
	}
	for _, next := range b.children {
		next.implyHead()
	}
}

// Match returns the index of the route for a canonical path. Of all routes
// whose path matches and that take the method the most specific wins: an exact
// path before a wildcard, a long wildcard before a short one. So with
// "/api/*" POST and "/api/users/*" GET, a POST to /api/users/1 takes the first.
// The error is [ErrNoRoute] if no path matches and a *[MethodError] if paths
// match but none takes the method. Match does not allocate unless it fails.
func (r *Router) Match(method, path string) (int, error) {
	slot := slotOf(method)
	best := int32(0)
	var allow leaf
	r.root.walk(path, func(l *leaf) {
		for i, owner := range l {
			allow[i] |= owner
		}
		if slot >= 0 && l[slot] != 0 {
			best = l[slot]
		}
	})
	if best != 0 {
		return int(best - 1), nil
	}
	if allow == (leaf{}) {
		return -1, ErrNoRoute
	}
	return -1, &MethodError{Allow: allow.methods()}
}

// walk calls visit for every leaf that matches, the least specific first.
func (b *branch) walk(path string, visit func(*leaf)) {
	rest, more := strings.CutPrefix(path, "/")
	for {
		if b.below != nil {
			visit(b.below)
		}
		if !more {
			break
		}
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if b = b.children[segment]; b == nil {
			return
		}
	}
	if b.exact != nil {
		visit(b.exact)
	}
}

func (l *leaf) methods() []string {
	var out []string
	for i, name := range methodNames() {
		if l[i] != 0 {
			out = append(out, name)
		}
	}
	return out
}
