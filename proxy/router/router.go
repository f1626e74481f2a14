package router

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoRoute says that no route matches host and path. Answer 404.
var ErrNoRoute = errors.New("no route")

// MethodError says that routes match host and path but none takes the method.
// Answer 405 with Allow as the header's value, joined by ", ".
type MethodError struct{ Allow []string }

func (e *MethodError) Error() string {
	return "method not allowed, allowed are " + strings.Join(e.Allow, ", ")
}

// Match is the part of a route the router looks at.
//
// Path is made of literal segments and of wild ones, ":name" or "*", which match
// one segment that is not empty. A "/*" at the end matches the path before it
// with and without a slash and everything below: "/users/:id/*" matches /users/1,
// /users/1/ and /users/1/a/b, not /users. Methods lists upper-case names; none
// means all but TRACE and CONNECT; GET brings HEAD with it unless another route names HEAD for the
// same path. Hosts lists names, "*.example.com" for all names below one; none
// means every host. Letter case and port do not count.
type Match struct {
	Path    string
	Methods []string
	Hosts   []string
}

// Router finds the route of a request. It is immutable and safe for concurrent use.
type Router struct {
	hosts   map[string]*branch // by name
	domains map[string]*branch // by what *.example.com has after the star
	any     branch
}

// branch is what follows on one path segment. exact answers the path that ends
// here, below the path that ends here or goes on.
type branch struct {
	children map[string]*branch
	wild     *branch // any one segment
	exact    *leaf
	below    *leaf
}

// New builds a router; a route's place in the list is its index. The error joins
// all problems, each beginning with "routes[i].path: ", "routes[i].methods" or
// "routes[i].hosts".
func New(routes []Match) (*Router, error) {
	r := &Router{hosts: map[string]*branch{}, domains: map[string]*branch{}}
	var problems []error
	for i, m := range routes {
		p, err := parsePattern(m.Path)
		if err != nil {
			err = fmt.Errorf("routes[%d].path: %w, got %q", i, err, m.Path)
		}
		if err = errors.Join(err, checkMethods(i, m.Methods), checkHosts(i, m.Hosts)); err != nil {
			problems = append(problems, err)
			continue
		}
		problems = append(problems, r.add(i, m, p))
	}
	r.any.implyHead()
	for _, trees := range []map[string]*branch{r.hosts, r.domains} {
		for _, tree := range trees {
			tree.implyHead()
		}
	}
	return r, errors.Join(problems...)
}

// add puts a route into the tree of each of its hosts.
func (r *Router) add(i int, m Match, p pattern) error {
	if len(m.Hosts) == 0 {
		if taken := r.any.leafOf(p).claim(i, m.Methods); taken != nil {
			return fmt.Errorf("routes[%d].path: must be another than that of routes[%d] for the same method (%s), got %q",
				i, taken.owner, taken.method, m.Path)
		}
		return nil
	}
	var problems []error
	for _, host := range m.Hosts {
		if taken := r.treeOf(host).leafOf(p).claim(i, m.Methods); taken != nil {
			problems = append(problems, fmt.Errorf(
				"routes[%d].path: must be another than that of routes[%d] for the same method (%s) and host (%s), got %q",
				i, taken.owner, taken.method, host, m.Path))
		}
	}
	return errors.Join(problems...)
}

func (r *Router) treeOf(host string) *branch {
	name, trees := strings.ToLower(host), r.hosts
	if domain, ok := strings.CutPrefix(name, "*"); ok {
		name, trees = domain, r.domains
	}
	if trees[name] == nil {
		trees[name] = &branch{}
	}
	return trees[name]
}

// leafOf returns the leaf of a pattern and grows the tree as needed.
func (b *branch) leafOf(p pattern) *leaf {
	for _, s := range p.segments {
		b = b.child(s)
	}
	slot := &b.exact
	if p.below {
		slot = &b.below
	}
	if *slot == nil {
		*slot = &leaf{}
	}
	return *slot
}

func (b *branch) child(s segment) *branch {
	if s.wild {
		if b.wild == nil {
			b.wild = &branch{}
		}
		return b.wild
	}
	if b.children == nil {
		b.children = make(map[string]*branch)
	}
	if b.children[s.text] == nil {
		b.children[s.text] = &branch{}
	}
	return b.children[s.text]
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
	if b.wild != nil {
		b.wild.implyHead()
	}
}

// Match returns the index of the route for a Host header and a canonical path.
// Of all routes that match both and take the method the most specific wins, see
// the package comment. So with "/api/*" POST and "/api/users/*" GET, a POST to
// /api/users/1 takes the first. The error is [ErrNoRoute] if no route matches and
// a *[MethodError] if some do but none takes the method. Match does not allocate
// unless it fails.
func (r *Router) Match(method, host, path string) (int, error) {
	var stack [maxHost]byte
	name := appendHost(stack[:0], host)
	slot := slotOf(method)
	if owner := r.find(name, path, slot); owner != 0 {
		return int(owner - 1), nil
	}
	var all leaf
	for i := range all {
		all[i] = r.find(name, path, i)
	}
	if all == (leaf{}) {
		return -1, ErrNoRoute
	}
	return -1, &MethodError{Allow: all.methods()}
}

// find asks the trees from the most specific host to the least.
func (r *Router) find(host []byte, path string, slot int) int32 {
	rest, more := strings.CutPrefix(path, "/")
	if tree := r.hosts[string(host)]; tree != nil {
		if owner := tree.find(rest, more, slot); owner != 0 {
			return owner
		}
	}
	for i := 0; i < len(host) && len(r.domains) > 0; i++ {
		if host[i] != '.' {
			continue
		}
		if tree := r.domains[string(host[i:])]; tree != nil {
			if owner := tree.find(rest, more, slot); owner != 0 {
				return owner
			}
		}
	}
	return r.any.find(rest, more, slot)
}

// find returns the owner of the method on the most specific leaf that has one.
// It goes no deeper than the tree, however long the path is.
func (b *branch) find(rest string, more bool, slot int) int32 {
	if !more {
		if owner := b.exact.owner(slot); owner != 0 {
			return owner
		}
		return b.below.owner(slot)
	}
	word, after, deeper := strings.Cut(rest, "/")
	if next := b.children[word]; next != nil {
		if owner := next.find(after, deeper, slot); owner != 0 {
			return owner
		}
	}
	if b.wild != nil && word != "" {
		if owner := b.wild.find(after, deeper, slot); owner != 0 {
			return owner
		}
	}
	return b.below.owner(slot)
}
