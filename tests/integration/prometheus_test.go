package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"
	tcexec "github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/log"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const prometheusImage = "prom/prometheus:v3.5.0" // that of docker-compose.yml

// monitor is a Prometheus in a container, on the network of this machine, with
// the rules that are shipped.
type monitor struct {
	t         *testing.T
	url       string
	container *testcontainers.DockerContainer
}

func newMonitor(t *testing.T, nodes []*harness.Gateway) *monitor {
	t.Helper()
	rules, err := os.ReadFile("../../deploy/prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("TESTCONTAINERS_RYUK_DISABLED") == "" {
		t.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true") // see runRedis
	}
	m := &monitor{t: t, url: "http://" + address(harness.Ports(t, 1)[0])}
	config := "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\n" +
		"scrape_configs: [{job_name: gateway, static_configs: [{targets: " + targets(nodes) + "}]}]\n"
	file := func(name string, text []byte) testcontainers.ContainerFile {
		return testcontainers.ContainerFile{
			Reader: bytes.NewReader(text), ContainerFilePath: "/etc/prometheus/" + name, FileMode: 0o644,
		}
	}
	m.container, err = testcontainers.Run(t.Context(), prometheusImage,
		testcontainers.WithLogger(log.TestLogger(t)),
		testcontainers.WithHostConfigModifier(func(h *container.HostConfig) { h.NetworkMode = "host" }),
		testcontainers.WithFiles(file("prometheus.yml", []byte(config)), file("rules.yml", rules)),
		testcontainers.WithCmd("--config.file=/etc/prometheus/prometheus.yml", "--enable-feature=exemplar-storage", "--web.listen-address="+strings.TrimPrefix(m.url, "http://")),
	)
	testcontainers.CleanupContainer(t, m.container)
	if err != nil {
		t.Fatalf("cannot start %s: %v", prometheusImage, err)
	}
	harness.Eventually(t, 20*time.Second, "a scrape of every node", func() bool {
		return len(m.query("up == 1")) == len(nodes)
	})
	return m
}

func targets(nodes []*harness.Gateway) string {
	quoted := make([]string, len(nodes))
	for i, g := range nodes {
		quoted[i] = strconv.Quote(g.Addr)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// get decodes the answer's data into v; false: there is no good one.
func (m *monitor) get(path string, v any) bool {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url+path, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false // it is starting
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 == 5 {
		return false
	}
	answer := struct{ Data any }{Data: v}
	if err := json.Unmarshal(text, &answer); err != nil || resp.StatusCode != http.StatusOK {
		m.t.Fatalf("%s was answered with %d: %s", path, resp.StatusCode, text)
	}
	return true
}

// query returns the values of an expression's series, those that are numbers.
func (m *monitor) query(expr string) []float64 {
	m.t.Helper()
	var data struct {
		Result []struct{ Value [2]any }
	}
	if !m.get("/api/v1/query?query="+url.QueryEscape(expr), &data) {
		return nil
	}
	var values []float64
	for _, r := range data.Result {
		if v, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64); err == nil && !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return values
}

// hasExemplars reports whether trace ids were scraped with a metric.
func (m *monitor) hasExemplars(metric string) bool {
	m.t.Helper()
	var data []struct {
		Exemplars []struct{ Labels map[string]string }
	}
	now := time.Now()
	m.get(fmt.Sprintf("/api/v1/query_exemplars?query=%s&start=%d&end=%d", metric, now.Add(-time.Hour).Unix(), now.Unix()+1), &data)
	for _, series := range data {
		for _, e := range series.Exemplars {
			if len(e.Labels["trace_id"]) == 32 {
				return true
			}
		}
	}
	return false
}

// brokenRules returns the rules that Prometheus could not evaluate, and how many
// there are.
func (m *monitor) brokenRules() (broken []string, all int) {
	m.t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	m.get("/api/v1/rules", &data)
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			if all++; r.Health != "ok" {
				broken = append(broken, fmt.Sprintf("%s is %s: %s", r.Name, r.Health, r.LastError))
			}
		}
	}
	return broken, all
}

// checkMetrics runs a node's page through `promtool check metrics`.
func (m *monitor) checkMetrics(g *harness.Gateway) {
	m.t.Helper()
	script := "wget -qO- " + g.URL("/metrics") + " | promtool check metrics"
	code, output, err := m.container.Exec(m.t.Context(), []string{"sh", "-c", script}, tcexec.Multiplexed())
	if err != nil {
		m.t.Fatal(err)
	}
	if text, _ := io.ReadAll(output); code != 0 || len(text) > 0 {
		m.t.Errorf("promtool check metrics: exit code %d: %s", code, text)
	}
}
