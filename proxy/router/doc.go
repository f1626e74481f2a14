// Package router finds the route of a request by method, host and path.
//
// [CanonicalPath] turns a path into its one spelling or refuses it; the same
// string is then matched, authorised and forwarded, so that gateway and upstream
// cannot read it differently. [Router] is a tree of path segments for every host
// and one for all others: its cost depends on the length of the path, not on the
// number of routes. [Rewrite] makes the path for the upstream out of the one
// that matched.
//
// The most specific route wins: an exact host before *.example.com before none,
// then, segment by segment from the left, a literal before a parameter before
// the rest. Two routes that are equally specific for one method are an error, so
// the order of the routes never matters.
//
// Trade-off: where a literal and a parameter stand side by side both may have to
// be tried, so a configuration that offers both on every level costs more than
// one walk, at most one visit per route.
package router
