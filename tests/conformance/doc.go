// Package conformance asks the same of an upstream twice, straight and through a
// gateway, and has net/http judge: the upstream must receive the same and the
// client must get the same, field by field, but for the differences that
// docs/proxying.md lists. Each of those has its name here.
package conformance
