package harness

import (
	"encoding/json"
	"os"
	"testing"
)

// Panel is what a panel of a Grafana dashboard asks for.
type Panel struct {
	Title   string
	Queries []string // with Grafana's variables
}

// Dashboard reads the panels of a dashboard's file, and what else in it queries:
// annotations, and variables, which Grafana asks for in a language of its own.
func Dashboard(tb testing.TB, path string) (panels, variables []Panel) {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Annotations struct {
			List []struct{ Name, Expr string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		tb.Fatalf("cannot read %s: %v", path, err)
	}
	for _, p := range board.Panels {
		panel := Panel{Title: p.Title}
		for _, target := range p.Targets {
			panel.Queries = append(panel.Queries, target.Expr)
		}
		if len(panel.Queries) > 0 { // else it is a heading
			panels = append(panels, panel)
		}
	}
	for _, a := range board.Annotations.List {
		if a.Expr != "" {
			panels = append(panels, Panel{Title: "annotation " + a.Name, Queries: []string{a.Expr}})
		}
	}
	for _, v := range board.Templating.List {
		variables = append(variables, Panel{Title: "variable " + v.Name, Queries: []string{v.Definition}})
	}
	return panels, variables
}
