package config

import (
	"errors"
	"fmt"
	"strings"
)

// expandError is what is wrong with the ${ that begins at a byte of the text. It
// quotes nothing of what is around it, which could be a secret.
type expandError struct {
	at   int
	text string
}

func (e *expandError) Error() string { return e.text }

// expand replaces ${NAME} and ${NAME:-default} by the environment's values. The
// default is taken when NAME is unset or empty, as in a shell; $${ stands for a
// literal ${.
func expand(text string, lookup func(string) (string, bool)) (string, error) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	var out strings.Builder
	for whole := len(text); ; {
		start := strings.Index(text, "${")
		if start < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		if start > 0 && text[start-1] == '$' {
			out.WriteString(text[:start-1] + "${")
			text = text[start+2:]
			continue
		}
		out.WriteString(text[:start])
		end := strings.IndexByte(text[start:], '}')
		if end < 0 {
			return "", &expandError{whole - len(text) + start, "must close ${ with }, or write $${ for a literal ${"}
		}
		value, err := variable(text[start+2:start+end], lookup)
		if err != nil {
			return "", &expandError{whole - len(text) + start, err.Error()}
		}
		out.WriteString(value)
		text = text[start+end+1:]
	}
}

// variable resolves what stands between ${ and }.
func variable(expr string, lookup func(string) (string, bool)) (string, error) {
	name, fallback, hasFallback := strings.Cut(expr, ":-")
	if !isVariableName(name) {
		return "", errors.New("must name a variable as ${NAME} or ${NAME:-default}, or write $${ for a literal ${")
	}
	value, set := lookup(name)
	switch {
	case hasFallback && value == "":
		return fallback, nil
	case !set:
		return "", fmt.Errorf("environment variable %s is not set and ${%s} gives no default", name, name)
	}
	return value, nil
}

func isVariableName(s string) bool {
	for i, r := range s {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		digit := '0' <= r && r <= '9'
		if !letter && (i == 0 || !digit) {
			return false
		}
	}
	return s != ""
}
