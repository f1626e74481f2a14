package compose

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// rights are what a container was started with, as docker inspect shows it.
type rights struct {
	Config struct {
		User   string
		Labels map[string]string
	}
	HostConfig struct {
		ReadonlyRootfs bool
		CapDrop        []string
		SecurityOpt    []string
		Memory         int64
		NanoCpus       int64
		PidsLimit      *int64
	}
}

// service is one of the stack's, as compose renders it.
type service struct {
	User     string   `yaml:"user"`
	Build    any      `yaml:"build"` // its Dockerfile names the user, which testRights sees
	ReadOnly bool     `yaml:"read_only"`
	CapDrop  []string `yaml:"cap_drop"`
	Memory   any      `yaml:"mem_limit"`
	CPUs     any      `yaml:"cpus"`
	Volumes  []any    `yaml:"volumes"`
}

func (s *stack) testRights(t *testing.T) {
	var all []rights
	text := s.docker(append([]string{"inspect"}, s.containers("")...)...)
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 8 {
		t.Fatalf("%d containers run, want at least 8", len(all))
	}
	for _, c := range all {
		name, host := c.Config.Labels["com.docker.compose.service"], c.HostConfig
		if uid, _, _ := strings.Cut(c.Config.User, ":"); uid == "" || uid == "0" || uid == "root" {
			t.Errorf("%s runs as %q, want a user without rights", name, c.Config.User)
		}
		if !host.ReadonlyRootfs || !slices.Contains(host.CapDrop, "ALL") || !slices.Contains(host.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: read-only root %t, capabilities dropped %v, %v; want all three restricted", name, host.ReadonlyRootfs, host.CapDrop, host.SecurityOpt)
		}
		if host.Memory == 0 || host.NanoCpus == 0 || host.PidsLimit == nil || *host.PidsLimit <= 0 {
			t.Errorf("%s lacks a limit: %+v", name, host)
		}
	}
}

// TestEveryServiceIsRestricted reads what no test starts too: the images of
// Jaeger, Grafana and k6 are not on every machine.
func TestEveryServiceIsRestricted(t *testing.T) {
	services := rendered(t)
	for _, name := range []string{"gateway", "nginx", "config", "jaeger", "grafana", "k6"} {
		if _, ok := services[name]; !ok {
			t.Errorf("there is no service %s", name)
		}
	}
	for name, s := range services {
		if uid, _, _ := strings.Cut(s.User, ":"); s.Build == nil && (uid == "" || uid == "0" || uid == "root") {
			t.Errorf("%s runs as %q, want a user without rights", name, s.User)
		}
		if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || s.Memory == nil || s.CPUs == nil {
			t.Errorf("%s: want a read-only root, no capabilities and limits, got %+v", name, s)
		}
		for _, v := range s.Volumes {
			if source := sourceOf(v); filepath.IsAbs(source) {
				if _, err := os.Stat(source); err != nil {
					t.Errorf("%s mounts what is not there: %v", name, err)
				}
			}
		}
	}
}

func rendered(t *testing.T) map[string]service {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	command := append(composeCommand(t), "--project-directory", root, "-f", filepath.Join(root, "docker-compose.yml"), "--profile", "load", "config")
	out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).Output() //nolint:gosec // a command of this test
	if err != nil {
		t.Fatalf("cannot render docker-compose.yml: %v", err)
	}
	var project struct {
		Services map[string]service `yaml:"services"`
	}
	if err := yaml.Unmarshal(out, &project); err != nil {
		t.Fatal(err)
	}
	return project.Services
}

// sourceOf returns where a volume comes from: compose 1 renders a text, compose 2
// an object.
func sourceOf(volume any) string {
	if long, ok := volume.(map[string]any); ok {
		source, _ := long["source"].(string)
		return source
	}
	text, _ := volume.(string)
	source, _, _ := strings.Cut(text, ":")
	return source
}
