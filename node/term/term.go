// Package term knows when a text may be coloured, and colours it. Colour is never
// the only sign of anything: without it the same words stand there.
package term

import (
	"io"
	"os"

	"github.com/mattn/go-isatty"
)

// Style colours what it is told to, or nothing: the zero Style is plain.
type Style struct{ colour bool }

// For returns the style for what is written to w: coloured on a terminal, plain
// in files and pipes, with NO_COLOR set to anything (no-color.org) and with
// TERM=dumb.
func For(w io.Writer, lookup func(name string) (string, bool)) Style {
	file, ok := w.(*os.File)
	if !ok || !isatty.IsTerminal(file.Fd()) {
		return Style{}
	}
	if value, _ := lookup("NO_COLOR"); value != "" {
		return Style{}
	}
	kind, _ := lookup("TERM")
	return Style{colour: kind != "dumb"}
}

// Bold is for what to look at first.
func (s Style) Bold(text string) string { return s.paint("1", text) }

// Dim is for what is there for completeness.
func (s Style) Dim(text string) string { return s.paint("2", text) }

// Bad is for what is broken.
func (s Style) Bad(text string) string { return s.paint("1;31", text) }

// Good is for what works again.
func (s Style) Good(text string) string { return s.paint("32", text) }

// Warn is for what needs somebody's eye.
func (s Style) Warn(text string) string { return s.paint("33", text) }

// Link is for addresses.
func (s Style) Link(text string) string { return s.paint("36", text) }

func (s Style) paint(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
