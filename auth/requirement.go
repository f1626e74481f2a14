package auth

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Requirement is what a caller must have besides an identity. All of it must be met.
type Requirement struct {
	// Scope lists scopes, separated by spaces; each must be among the token's scope or scp claim.
	Scope string `yaml:"scope"`
	// Claims maps claims to the text they must equal or, where the claim is a list, contain.
	Claims map[string]string `yaml:"claims"`
}

// Validate returns every problem of the requirement, joined.
func (r Requirement) Validate() error {
	var problems []error
	if len(strings.Fields(r.Scope)) == 0 && len(r.Claims) == 0 {
		problems = append(problems, errors.New("scope: must name a scope unless claims does, got nothing"))
	}
	for _, claim := range slices.Sorted(maps.Keys(r.Claims)) {
		if claim == "" || r.Claims[claim] == "" {
			problems = append(problems, fmt.Errorf("claims.%s: must name a claim and its value, got %q", claim, r.Claims[claim]))
		}
	}
	return errors.Join(problems...)
}

// metBy reports whether verified claims fulfil the requirement.
func (r Requirement) metBy(claims map[string]any) bool {
	for _, scope := range strings.Fields(r.Scope) {
		if !hasScope(claims["scope"], scope) && !hasScope(claims["scp"], scope) {
			return false
		}
	}
	for claim, want := range r.Claims {
		if !holds(claims[claim], want) {
			return false
		}
	}
	return true
}

// hasScope looks for a scope in a list of words or in a JSON list; both forms are in use (RFC 8693 section
// 4.2 has the former).
func hasScope(claim any, scope string) bool {
	if text, ok := claim.(string); ok {
		return slices.Contains(strings.Fields(text), scope)
	}
	_, isList := claim.([]any)
	return isList && holds(claim, scope)
}

// holds reports whether a claim equals a text or is a list that contains it.
func holds(claim any, want string) bool {
	list, isList := claim.([]any)
	if !isList {
		list = []any{claim}
	}
	return slices.ContainsFunc(list, func(element any) bool {
		text, ok := scalarText(element)
		return ok && text == want
	})
}
