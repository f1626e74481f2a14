package router

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

const methodCount = 9

// methodNames is a function since an array cannot be a constant.
func methodNames() [methodCount]string {
	return [methodCount]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
}

const (
	slotGet   = 0
	slotHead  = 1
	slotTrace = 7 // the first of those that a route must ask for
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
		return slotTrace
	case "CONNECT":
		return 8
	}
	return -1
}

func checkMethods(i int, methods []string) error {
	var problems []error
	for j, method := range methods {
		if err := CheckMethod(method); err != nil {
			problems = append(problems, fmt.Errorf("routes[%d].methods[%d]: %w", i, j, err))
		}
	}
	return errors.Join(problems...)
}

// CheckMethod refuses what is no method of a route; the error says what is.
func CheckMethod(method string) error {
	if slotOf(method) >= 0 {
		return nil
	}
	names := methodNames()
	return fmt.Errorf("must be one of %s, got %q", strings.Join(names[:], ", "), method)
}

// leaf holds 1 + the index of a route for every method, 0 for none.
type leaf [methodCount]int32

// owner is 0 for no leaf and for a method that has no place.
func (l *leaf) owner(slot int) int32 {
	if l == nil || slot < 0 {
		return 0
	}
	return l[slot]
}

// taken names the route that has a method already.
type taken struct {
	owner  int
	method string
}

// claim gives route i its methods on this leaf, or says who has one of them. TRACE
// shows a client what the gateway adds for the upstream alone, and CONNECT asks for
// a tunnel: a route that wants them must say so.
func (l *leaf) claim(i int, methods []string) *taken {
	if names := methodNames(); len(methods) == 0 {
		methods = names[:slotTrace]
	}
	for _, method := range slices.Compact(slices.Sorted(slices.Values(methods))) {
		slot := slotOf(method)
		if owner := l[slot]; owner != 0 {
			return &taken{owner: int(owner - 1), method: method}
		}
		l[slot] = int32(i + 1)
	}
	return nil
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
