package auth

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Principal is who a verified token speaks for. It is shared by every request that carries the token, so
// it must not be changed. Its strings are its own: they outlive the request.
type Principal struct {
	// User is the user claim, never empty.
	User string
	// Headers are the forwarded claims in the order of the claims' names.
	Headers []Header

	kept []string // the values of Options.Claims, in their order
	met  []bool   // which of Options.Requirements it meets
}

// meets reports whether the caller has what Options.Requirements[i] asks for.
func (p Principal) meets(i int) bool { return i < len(p.met) && p.met[i] }

// Claim returns the text of the claim Options.Claims[i]: a string, number or boolean as it was signed. It
// is "" when the token has no such claim or one of another shape, and for a caller without a token. It does
// not allocate, and the text outlives the request.
func (p Principal) Claim(i int) string {
	if i < 0 || i >= len(p.kept) {
		return ""
	}
	return p.kept[i]
}

// Header is one request header for the upstream. Its value holds no control characters.
type Header struct {
	Name  string
	Value string
}

// forward is one claim that becomes a header.
type forward struct {
	claim  string
	header string
}

// sortedForwards fixes the order of the forwarded headers, which a map would shuffle.
func sortedForwards(claims map[string]string) []forward {
	list := make([]forward, 0, len(claims))
	for _, claim := range slices.Sorted(maps.Keys(claims)) {
		list = append(list, forward{claim: claim, header: claims[claim]})
	}
	return list
}

// principalOf reads the user, the forwarded headers and the claims to keep out of verified claims.
func (v *Verifier) principalOf(claims map[string]any) (Principal, error) {
	user, err := claimText(claims[v.userClaim])
	if err != nil {
		return Principal{}, fmt.Errorf("%w: claim %q %w", ErrInvalid, v.userClaim, err)
	}
	if user == "" {
		return Principal{}, fmt.Errorf("%w: claim %q is missing or names no user", ErrInvalid, v.userClaim)
	}
	p := Principal{User: user}
	for _, name := range v.kept {
		text, _ := scalarText(claims[name])
		p.kept = append(p.kept, text)
	}
	for _, r := range v.requirements {
		p.met = append(p.met, r.metBy(claims))
	}
	for _, f := range v.forwards {
		value, err := claimText(claims[f.claim])
		if err != nil {
			return Principal{}, fmt.Errorf("%w: claim %q %w", ErrInvalid, f.claim, err)
		}
		if value != "" {
			p.Headers = append(p.Headers, Header{Name: f.header, Value: value})
		}
	}
	return p, nil
}

// claimText renders a claim as a header value. Objects, null and what contains them render as "", which
// is not forwarded.
func claimText(claim any) (string, error) {
	list, isList := claim.([]any)
	if !isList {
		text, _ := scalarText(claim)
		return text, checkText(text)
	}
	parts := make([]string, 0, len(list))
	for _, element := range list {
		text, ok := scalarText(element)
		if !ok {
			return "", nil
		}
		// A comma would let one element pass for two: ["a,admin"] is not ["a","admin"].
		if strings.Contains(text, ",") {
			return "", errComma
		}
		if err := checkText(text); err != nil {
			return "", err
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ","), nil
}

// scalarText renders a string, number or boolean; ok is false for everything else.
func scalarText(claim any) (text string, ok bool) {
	switch v := claim.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// checkText refuses what would not arrive at the upstream as it was signed: control characters could end
// the header, and spaces at the ends are stripped, so that " root" would arrive as "root".
func checkText(text string) error {
	if strings.ContainsFunc(text, unicode.IsControl) {
		return errControl
	}
	if strings.TrimSpace(text) != text {
		return errSpaces
	}
	return nil
}
