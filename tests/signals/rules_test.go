package signals

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// ruleFile is what these tests read of rules.yml.
type ruleFile struct {
	Groups []struct {
		Rules []struct{ Record, Alert, Expr string }
	}
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// What a rule or a panel asks for is in a scrape, or a rule records it.
func TestRulesAndPanelsAskForWhatIsThere(t *testing.T) {
	s := startSite(t)
	s.work()
	there := map[string]bool{"up": true}
	for name := range families(s.scrape("text/plain")) {
		there[name], there[name+"_bucket"], there[name+"_count"], there[name+"_sum"] = true, true, true, true
	}
	var file ruleFile
	readYAML(t, "../../deploy/prometheus/rules.yml", &file)
	asked := map[string]string{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			there[r.Record] = true
			asked[r.Record+r.Alert] = r.Expr
		}
	}
	panels, variables := harness.Dashboard(t, "../../deploy/grafana/dashboards/gateway.json")
	for _, p := range append(panels, variables...) {
		asked[p.Title] = strings.Join(p.Queries, " + ")
	}
	if len(asked) < 40 {
		t.Fatalf("only %d rules and panels found", len(asked))
	}
	for who, expr := range asked {
		names := metricNames(expr)
		if len(names) == 0 {
			t.Errorf("%s asks for nothing: %s", who, expr)
		}
		for _, name := range names {
			if !there[name] {
				t.Errorf("%s asks for %s, which is not there", who, name)
			}
		}
	}
}

// metricNames returns what an expression selects: the names in it that are
// neither functions, operators, labels nor numbers.
func metricNames(expr string) []string {
	for _, noise := range []string{`"[^"]*"`, `\{[^}]*\}`, `\[[^\]]*\]`, `\b(by|without|on|ignoring)\s*\([^)]*\)`, `, *(instance|route)\)`} {
		expr = regexp.MustCompile(noise).ReplaceAllString(expr, " ")
	}
	var names []string
	for _, word := range regexp.MustCompile(`\b[a-zA-Z_:][\w:]*(\s*\()?`).FindAllString(expr, -1) {
		if !strings.HasSuffix(word, "(") && !slices.Contains([]string{"or", "and", "unless", "bool", "offset"}, word) {
			names = append(names, word)
		}
	}
	return names
}

func TestMetricNames(t *testing.T) {
	f := func(expr string, want ...string) {
		t.Helper()
		if got := metricNames(expr); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", expr, got, want)
		}
	}
	f(`sum by (a, b) (rate(x_total{job="gateway", c=~"$c"}[5m])) / (sum (y) > 1) or vector(0)`, "x_total", "y")
	f(`histogram_quantile(0.99, sum by (le) (rate(a_bucket[1m]))) > 1e3 and on (x) b:c:d`, "a_bucket", "b:c:d")
	f(`label_values(up{job="gateway"}, instance)`, "up")
}

// Every alert has a case in which it fires and one in which it does not, and
// docs/operations.md says what to do.
func TestEveryAlertIsTested(t *testing.T) {
	operations, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var file ruleFile
	readYAML(t, "../../deploy/prometheus/rules.yml", &file)
	var cases struct {
		Tests []struct {
			Alerts []struct {
				Name   string `yaml:"alertname"`
				Alerts []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
			Values []struct{ Expr string } `yaml:"promql_expr_test"`
		}
	}
	readYAML(t, "../../deploy/prometheus/rules_test.yml", &cases)
	fires, quiet := map[string]bool{}, map[string]bool{"": true}
	for _, c := range cases.Tests {
		for _, a := range c.Alerts {
			if len(a.Alerts) > 0 {
				fires[a.Name] = true
			} else {
				quiet[a.Name] = true
			}
		}
		for _, v := range c.Values {
			fires[v.Expr] = true
		}
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if !strings.Contains(string(operations), r.Alert) {
				t.Errorf("%s is not in docs/operations.md", r.Alert)
			}
			if !fires[r.Alert+r.Record] || !quiet[r.Alert] {
				t.Errorf("%s: fires in a case %v, keeps quiet in one %v", r.Alert+r.Record, fires[r.Alert+r.Record], quiet[r.Alert])
			}
		}
	}
}
