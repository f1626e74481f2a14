package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// section is a top-level key with all its lines: comments directly above it,
// and everything down to the next section.
type section struct {
	name  string
	text  string
	value *yaml.Node
}

// Splice puts the sections that all nodes share, as they stand in pushed, in the
// place of those in own, and keeps own's other lines as they are: its node-local
// sections, their comments and unexpanded variables. Node-local sections in
// pushed must be absent or say what own's say; each that differs is a Problem.
// The result says what both said, but may still be no valid configuration: the
// caller parses it.
func Splice(own, pushed []byte) ([]byte, error) {
	head, mine, err := sections(own)
	if err != nil {
		return nil, fmt.Errorf("cannot change this node's file: %w", err)
	}
	_, theirs, err := sections(pushed)
	if err != nil {
		return nil, err
	}
	if err := foreign(mine, theirs); err != nil {
		return nil, err
	}
	var out strings.Builder
	out.WriteString(head)
	for _, s := range mine {
		if isNodeLocal(s.name) {
			out.WriteString(s.text)
		} else if i := named(theirs, s.name); i >= 0 {
			out.WriteString(theirs[i].text)
		}
	}
	for _, s := range theirs {
		if !isNodeLocal(s.name) && named(mine, s.name) < 0 {
			out.WriteString(s.text)
		}
	}
	text := []byte(out.String())
	if err := faithful(text, mine, pushed); err != nil {
		return nil, err
	}
	return text, nil
}

// faithful makes sure that nothing got another meaning where it stands now, as
// an alias can whose anchor stood in another section.
func faithful(text []byte, mine []section, pushed []byte) error {
	_, now, err := sections(text)
	if err == nil {
		err = foreign(mine, now)
	}
	if hash := clusterHash(text); err == nil && (hash == "" || hash != clusterHash(pushed)) {
		err = errors.New("its meaning would change: anchors and aliases cannot be shared between sections")
	}
	if err != nil {
		return fmt.Errorf("cannot put the sections into this node's file: %w", err)
	}
	return nil
}

func named(all []section, name string) int {
	return slices.IndexFunc(all, func(s section) bool { return s.name == name })
}

func isNodeLocal(name string) bool { return slices.Contains(nodeLocal(), name) }

// sections splits a file into what stands above its first section, and those.
func sections(text []byte) (head string, out []section, err error) {
	root, err := parse(text)
	if err != nil {
		return "", nil, err
	}
	if root == nil {
		return string(text), nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return "", nil, &Problem{Line: root.Line, Text: "must be a section of keys, got " + describe(root)}
	}
	lines := slices.Collect(bytes.Lines(text))
	starts := make([]int, 0, len(root.Content)/2+1)
	for i := 0; i+1 < len(root.Content); i += 2 {
		key := root.Content[i]
		if key.Column != 1 || i > 0 && key.Line == root.Content[i-2].Line {
			return "", nil, &Problem{Line: key.Line, Path: key.Value, Text: "must begin a line of its own, so that sections can be told apart"}
		}
		starts = append(starts, commentsAbove(lines, key.Line-1))
	}
	starts = append(starts, len(lines))
	for i := range len(starts) - 1 {
		out = append(out, section{
			name:  root.Content[2*i].Value,
			text:  joined(lines[starts[i]:starts[i+1]]),
			value: root.Content[2*i+1],
		})
	}
	return joined(lines[:starts[0]]), out, nil
}

// commentsAbove returns the first of the comment lines that stand directly above
// a line.
func commentsAbove(lines [][]byte, line int) int {
	for line > 0 && bytes.HasPrefix(lines[line-1], []byte("#")) {
		line--
	}
	return line
}

// joined ends with a line break, whatever the last line of a file does.
func joined(lines [][]byte) string {
	out := string(bytes.Join(lines, nil))
	if out != "" && !strings.HasSuffix(out, "\n") {
		out += "\n"
	}
	return out
}

// foreign refuses node-local sections that are not this node's own. Values are
// not shown: they may be secrets.
func foreign(mine, theirs []section) error {
	var errs []error
	for _, s := range theirs {
		if !isNodeLocal(s.name) {
			continue
		}
		own := map[string]any{}
		if i := named(mine, s.name); i >= 0 {
			own = saidIn(mine[i].value)
		}
		if keys := differing(own, saidIn(s.value)); len(keys) > 0 {
			errs = append(errs, &Problem{Line: s.value.Line, Path: s.name, Text: fmt.Sprintf(
				"belongs to each node: must be absent or equal to the node's own, differs in %s", strings.Join(keys, ", "))})
		}
	}
	return errors.Join(errs...)
}

// saidIn returns what a section says, unexpanded; one that is not a section of
// keys says one thing under no name.
func saidIn(n *yaml.Node) map[string]any {
	out := map[string]any{}
	if n.Decode(&out) == nil {
		return out
	}
	var value any
	_ = n.Decode(&value) // what does not even decode equals nothing but itself
	return map[string]any{"its value": value}
}

func differing(a, b map[string]any) []string {
	var out []string
	for key, value := range a {
		if other, both := b[key]; !both || !reflect.DeepEqual(value, other) {
			out = append(out, key)
		}
	}
	for key := range b {
		if _, both := a[key]; !both {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// At gives the faults found in a spliced text the lines they have in the text
// that was pushed.
func At(err error, pushed []byte) error {
	var scratch Config
	source, _ := decode(pushed, func(string) (string, bool) { return "", true }, &scratch)
	errs := flatten(err)
	for _, e := range errs {
		var p *Problem
		if errors.As(e, &p) {
			p.Line, p.Column, p.Source = 0, 0, ""
		}
	}
	if source != nil {
		source.locate(errs)
		source.quote(errs)
	}
	return errors.Join(errs...)
}

// Shared returns the sections of a file that all nodes share, as they stand.
func Shared(text []byte) ([]byte, error) {
	_, all, err := sections(text)
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	for _, s := range all {
		if !isNodeLocal(s.name) {
			out.WriteString(s.text)
		}
	}
	return []byte(out.String()), nil
}
