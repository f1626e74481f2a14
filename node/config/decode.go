package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds how many YAML nodes a file may hold once its aliases are
// followed, so that a few lines of nested aliases cannot exhaust memory.
const maxNodes = 1_000_000

// defaulter is implemented by elements of lists and optional sections that do
// not start from zero.
type defaulter interface{ SetDefaults() }

// oneOrMany is implemented by lists that may also be written as their only
// element.
type oneOrMany interface{ OneOrMany() }

// narrowing is implemented by lists that let everything in when they are empty.
// Variables must not leave one so.
type narrowing interface{ Narrows() }

// decoder walks a YAML document beside the Go value it fills and collects every
// problem instead of stopping at the first.
type decoder struct {
	lookup  func(name string) (string, bool)
	places  map[string]place // by path, so that later checks can name them too
	secrets []*yaml.Node     // what must not be shown of the text
	nodes   int
	errs    []error
}

// decode fills dst, a pointer to a struct that already holds the defaults, from
// YAML text. It returns where everything stands. The error joins all problems,
// each beginning with the path it belongs to.
func decode(text []byte, lookup func(string) (string, bool), dst any) (*source, error) {
	root, err := parse(text)
	if err != nil {
		return nil, err
	}
	d := &decoder{lookup: lookup, places: map[string]place{}}
	if root != nil {
		d.value(root, reflect.ValueOf(dst).Elem(), "")
	}
	return newSource(text, d.places, d.secrets), errors.Join(d.errs...)
}

// parse returns the document's root node, nil if the text is empty.
func parse(text []byte) (*yaml.Node, error) {
	var doc yaml.Node
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	if err := dec.Decode(&doc); err != nil {
		if len(strings.TrimSpace(string(text))) == 0 || doc.Kind == 0 && err.Error() == "EOF" {
			return nil, nil
		}
		return nil, syntaxProblem(text, err)
	}
	var second yaml.Node
	if dec.Decode(&second) == nil {
		return nil, &Problem{Line: second.Line, Column: second.Column, Text: "must hold one YAML document, got several"}
	}
	return doc.Content[0], nil
}

func (d *decoder) fail(n *yaml.Node, path, format string, args ...any) {
	d.errs = append(d.errs, &Problem{Line: n.Line, Column: n.Column, Path: path, Text: fmt.Sprintf(format, args...)})
}

// failAt reports a variable that cannot be expanded where it stands in the
// scalar, if that is on the scalar's first line.
func (d *decoder) failAt(n *yaml.Node, path string, err error) {
	at := *n
	var bad *expandError
	if errors.As(err, &bad) && !strings.Contains(n.Value[:bad.at], "\n") && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		at.Column += len([]rune(n.Value[:bad.at]))
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			at.Column++
		}
	}
	d.fail(&at, path, "%v", err)
}

// value decodes one node into dst by dst's kind.
func (d *decoder) value(n *yaml.Node, dst reflect.Value, path string) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if d.nodes++; d.nodes > maxNodes {
		if d.nodes == maxNodes+1 {
			d.fail(n, path, "must hold at most %d values after its aliases are followed", maxNodes)
		}
		return
	}
	d.places[path] = place{n.Line, n.Column}
	if isSecret(path) {
		d.secrets = append(d.secrets, n)
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // an empty section or value keeps its default
	}
	switch dst.Kind() {
	case reflect.Pointer:
		d.pointer(n, dst, path)
	case reflect.Struct:
		d.structure(n, dst, path)
	case reflect.Slice:
		d.list(n, dst, path)
	case reflect.Map:
		d.mapping(n, dst, path)
	default:
		d.scalar(n, dst, path)
	}
}

func (d *decoder) pointer(n *yaml.Node, dst reflect.Value, path string) {
	fresh := newValue(dst.Type().Elem())
	d.value(n, fresh.Elem(), path)
	dst.Set(fresh)
}

func (d *decoder) structure(n *yaml.Node, dst reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "must be a section of keys, got %s", describe(n))
		return
	}
	fields := fieldsOf(dst)
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		field, known := fields[key.Value]
		switch {
		case seen[key.Value]:
			d.fail(key, at, "must appear once, got a second time")
		case !known:
			d.unknown(key, at, slices.Sorted(maps.Keys(fields)))
			d.secrets = append(d.secrets, val) // nobody knows what it is
		default:
			d.value(val, field, at)
		}
		seen[key.Value] = true
	}
}

func (d *decoder) unknown(key *yaml.Node, path string, allowed []string) {
	if meant := closest(key.Value, allowed); meant != "" {
		d.fail(key, path, "unknown key, did you mean %s?", meant)
		return
	}
	d.fail(key, path, "unknown key, allowed: %s", strings.Join(allowed, ", "))
}

func (d *decoder) list(n *yaml.Node, dst reflect.Value, path string) {
	items := n.Content
	if _, lone := dst.Interface().(oneOrMany); lone && n.Kind == yaml.ScalarNode {
		items = []*yaml.Node{n}
		if n.Value == "" {
			items = nil
		}
	} else if n.Kind != yaml.SequenceNode {
		d.fail(n, path, "must be a list, got %s", describe(n))
		return
	}
	out := reflect.MakeSlice(dst.Type(), 0, len(items))
	for _, item := range items {
		if d.vanishes(item) {
			continue
		}
		elem := newValue(dst.Type().Elem())
		d.value(item, elem.Elem(), fmt.Sprintf("%s[%d]", path, out.Len()))
		out = reflect.Append(out, elem.Elem())
	}
	if _, narrows := dst.Interface().(narrowing); narrows && len(items) > 0 && out.Len() == 0 {
		d.fail(n, path, "must keep an element, got only variables that expand to nothing: an empty list excludes nobody")
	}
	dst.Set(out)
}

// vanishes reports whether a list element is a scalar whose variables leave
// nothing of it.
func (d *decoder) vanishes(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || !strings.Contains(n.Value, "${") {
		return false
	}
	text, err := expand(n.Value, d.lookup)
	return err == nil && text == ""
}

func (d *decoder) mapping(n *yaml.Node, dst reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "must be a section of keys, got %s", describe(n))
		return
	}
	out := reflect.MakeMap(dst.Type())
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		elem := newValue(dst.Type().Elem())
		d.value(n.Content[i+1], elem.Elem(), join(path, key))
		if out.MapIndex(reflect.ValueOf(key)).IsValid() {
			d.fail(n.Content[i], join(path, key), "must appear once, got a second time")
		}
		out.SetMapIndex(reflect.ValueOf(key), elem.Elem())
	}
	dst.Set(out)
}

func (d *decoder) scalar(n *yaml.Node, dst reflect.Value, path string) {
	want := wanted(dst.Kind())
	if n.Kind != yaml.ScalarNode {
		d.fail(n, path, "must be %s, got %s", want, describe(n))
		return
	}
	text, err := expand(n.Value, d.lookup)
	if err != nil {
		d.failAt(n, path, err)
		return
	}
	expanded := text != n.Value
	if dst.Kind() == reflect.String {
		dst.SetString(text)
		return
	}
	if expanded && text == "" {
		return // a number or switch that expands to nothing keeps its default
	}
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0
	if (quoted && !expanded) || !setParsed(dst, text) {
		d.fail(n, path, "must be %s, got %q", want, text)
	}
}

// setParsed stores text in a number or switch and reports whether it is one.
func setParsed(dst reflect.Value, text string) bool {
	switch dst.Kind() {
	case reflect.Int, reflect.Int64:
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil || dst.OverflowInt(v) {
			return false
		}
		dst.SetInt(v)
	case reflect.Float64:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || v != v {
			return false
		}
		dst.SetFloat(v)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return false
		}
		dst.SetBool(text == "true")
	default:
		panic(fmt.Sprintf("BUG: config field of kind %s", dst.Kind()))
	}
	return true
}

func wanted(k reflect.Kind) string {
	switch k {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	default:
		return "text"
	}
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	default:
		return strconv.Quote(n.Value)
	}
}

// newValue returns a pointer to a fresh t that holds t's defaults.
func newValue(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if d, ok := v.Interface().(defaulter); ok {
		d.SetDefaults()
	}
	return v
}

// fieldsOf maps the YAML keys of a struct to its fields; embedded structs
// contribute theirs.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			maps.Copy(fields, fieldsOf(v.Field(i)))
		case name != "" && name != "-":
			fields[name] = v.Field(i)
		}
	}
	return fields
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
