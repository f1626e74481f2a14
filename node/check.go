package node

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-api-gateway-pro/gateway/node/config"
	"github.com/go-api-gateway-pro/gateway/node/term"
)

// CheckConfig checks a configuration file as starting a node would and writes
// one line about a good one. The error joins every fault found; PrintFaults shows
// them.
func CheckConfig(w io.Writer, path string) error {
	cfg, err := LoadConfig(path, nil)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s is valid: %s\n", path, counted(len(cfg.Routes), "route"))
	return err
}

// PrintFaults writes every fault joined in err as compilers do: where it is in
// the file at path, what is wrong, the line and a caret under the place. Secrets
// in the line are replaced. Faults without a place are a line each.
func PrintFaults(w io.Writer, path string, err error, style term.Style) {
	faults := Faults(err)
	slices.SortStableFunc(faults, byPlace)
	for _, fault := range faults {
		printFault(w, path, fault, style)
	}
	if len(faults) > 1 {
		fmt.Fprintln(w, style.Bold(counted(len(faults), "fault")))
	}
}

func byPlace(a, b error) int {
	var at, other config.Problem
	if p, ok := errors.AsType[*config.Problem](a); ok {
		at = *p
	}
	if p, ok := errors.AsType[*config.Problem](b); ok {
		other = *p
	}
	return cmp.Or(at.Line-other.Line, at.Column-other.Column)
}

func printFault(w io.Writer, path string, fault error, style term.Style) {
	p, ok := errors.AsType[*config.Problem](fault)
	if !ok || p.Line == 0 {
		fmt.Fprintln(w, style.Bad("error: ")+fault.Error())
		return
	}
	fmt.Fprintln(w, style.Bold(fmt.Sprintf("%s:%d:%d: ", path, p.Line, max(p.Column, 1)))+style.Bad("error: ")+p.Message())
	source := printable(p.Source)
	before := []rune(source)[:min(max(p.Column, 1)-1, utf8.RuneCountInString(source))]
	number := fmt.Sprintf("%5d | ", p.Line)
	fmt.Fprintln(w, style.Dim(number)+source)
	fmt.Fprintln(w, style.Dim(strings.Repeat(" ", len(number)-2)+"| ")+strings.Repeat(" ", len(before))+style.Good("^"))
}

// printable keeps a file's control characters from the terminal; a tab counts as
// one column, so it is shown as one.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ' || 0x7f <= r && r < 0xa0:
			return '�'
		}
		return r
	}, line)
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// VersionText names the version, the commit it was built from and the Go
// release, in one line. Without a stamp the commit is the one Go recorded.
func VersionText(version, commit string) string {
	if commit == "" {
		commit = recordedCommit()
	}
	return fmt.Sprintf("gateway %s (commit %s, %s %s/%s)", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func recordedCommit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return "unknown"
}
