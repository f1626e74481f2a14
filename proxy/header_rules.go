package proxy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// HeaderRules change header fields: first those in Remove go, then those in Set
// replace all of their name, then those in Add are put beside what is there.
type HeaderRules struct {
	Set    map[string]string `yaml:"set"`
	Add    map[string]string `yaml:"add"`
	Remove []string          `yaml:"remove"`
}

// ValidateResponse checks rules for responses; every problem begins with
// "response_headers.".
func (r HeaderRules) ValidateResponse() error { return r.validate("response_headers") }

// validate never quotes a value: it may be a secret.
func (r HeaderRules) validate(section string) error {
	var errs []error
	for i, name := range r.Remove {
		errs = append(errs, inField(fmt.Sprintf("%s.remove[%d]", section, i), checkRuleName(name)))
	}
	for _, part := range []struct {
		key    string
		fields map[string]string
	}{{"set", r.Set}, {"add", r.Add}} {
		for _, name := range slices.Sorted(maps.Keys(part.fields)) {
			at := section + "." + part.key + "." + name
			errs = append(errs, inField(at, checkRuleName(name)), inField(at, checkRuleValue(part.fields[name])))
		}
	}
	return errors.Join(errs...)
}

// checkRuleName refuses the fields by which a message is framed and connections
// are kept: changing them would make it another message.
func checkRuleName(name string) error {
	if !isToken([]byte(name)) {
		return fmt.Errorf("must be the name of a header, got %q", name)
	}
	switch strings.ToLower(name) {
	case "connection", "content-length", "date", "expect", "host", "http2-settings", "keep-alive", "proxy-connection",
		"te", "trailer", "transfer-encoding", "upgrade":
		return fmt.Errorf("must not be a field that the gateway itself answers for, got %q", name)
	}
	return nil
}

func checkRuleValue(value string) error {
	bad := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	if value == "" || strings.TrimSpace(value) != value || strings.ContainsFunc(value, bad) {
		return errors.New("must be text without line breaks, and without spaces around it")
	}
	return nil
}

// HeaderChange is HeaderRules made ready. The zero value changes nothing.
type HeaderChange struct {
	remove   []string
	set, add []Header
}

// NewHeaderChange makes valid rules ready for use.
func NewHeaderChange(r HeaderRules) HeaderChange {
	return HeaderChange{remove: r.Remove, set: sortedFields(r.Set), add: sortedFields(r.Add)}
}

func sortedFields(fields map[string]string) []Header {
	var out []Header
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		out = append(out, Header{name, fields[name]})
	}
	return out
}

// Response changes the fields of a response.
func (c *HeaderChange) Response(h *fasthttp.ResponseHeader) {
	for _, name := range c.remove {
		h.Del(name)
	}
	for _, f := range c.set {
		h.Del(f.Name) // Set alone would leave a second one
		h.Set(f.Name, f.Value)
	}
	for _, f := range c.add {
		h.Add(f.Name, f.Value)
	}
}

func (c *HeaderChange) request(h *fasthttp.RequestHeader) {
	for _, name := range c.remove {
		h.Del(name)
	}
	for _, f := range c.set {
		setHeader(h, f.Name, f.Value)
	}
	for _, f := range c.add {
		h.Add(f.Name, f.Value)
	}
}

// governs reports whether the rules decide on a name, given with dashes for
// underscores in lower case: then a client's other spelling of it must not pass.
func (c *HeaderChange) governs(name string) bool {
	same := func(other string) bool { return dashed(other) == name }
	return slices.ContainsFunc(c.remove, same) ||
		slices.ContainsFunc(c.set, func(f Header) bool { return same(f.Name) })
}
