package kubernetes

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// settings is what the manifests must agree with.
type settings struct {
	Server struct {
		Port           int64
		DrainDelayMS   int64 `json:"drain_delay_ms"`
		DrainTimeoutMS int64 `json:"drain_timeout_ms"`
	}
	Admin struct{ Port int64 }
	Redis struct {
		Fallback struct {
			MinMembers int32 `json:"min_members"`
		}
	}
	Cluster struct {
		Bind string
		Join []string
	}
}

func (o *objects) config(t *testing.T) settings {
	t.Helper()
	var s settings
	if err := yaml.Unmarshal([]byte(o.text(t)), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func (o *objects) text(t *testing.T) string {
	t.Helper()
	c := o.configs["gateway"]
	if c == nil || c.Data["config.yaml"] == "" {
		t.Fatal("want a ConfigMap gateway with config.yaml; a suffix of its name would restart the pods")
	}
	return c.Data["config.yaml"]
}

// program is the gateway, built once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gateway")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-tags", "nethttpomithttp2", "-o", dir, "./cmd/gateway")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%w\n%s", err, out)
	}
	return filepath.Join(dir, "gateway"), nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, _ := program(); path != "" {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// strong is a secret of each kind as docs/kubernetes.md makes them.
func strong() map[string]string {
	s := base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	return map[string]string{"JWT_SECRET": s, "ADMIN_TOKEN": s, "CLUSTER_SECRET_KEY": s}
}

// gateway is a command of the gateway with the container's environment and the secrets.
func gateway(t *testing.T, o *objects, secrets map[string]string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatalf("cannot build the gateway: %v", err)
	}
	_, c := o.pod(t)
	if len(c.EnvFrom) != 1 || c.EnvFrom[0].SecretRef == nil || c.EnvFrom[0].SecretRef.Name != "gateway" {
		t.Fatalf("the container takes its environment from %+v, want Secret gateway", c.EnvFrom)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = []string{}
	for name, value := range secrets {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	for name, value := range environment(c) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The ConfigMap's file passes -check with real secrets, and with none of the placeholders.
func TestConfigurationPassesAndPlaceholdersDoNot(t *testing.T) {
	base := build(t, "base")
	placeholders := base.secrets["gateway"].StringData
	if len(placeholders) != len(strong()) {
		t.Fatalf("the Secret has %d keys, want %d", len(placeholders), len(strong()))
	}
	path := write(t, base.text(t))
	if out, err := gateway(t, base, strong(), "-check", path).CombinedOutput(); err != nil {
		t.Errorf("with strong secrets: %v\n%s", err, out)
	}
	for name, fault := range map[string]string{"JWT_SECRET": "jwt.secret:", "ADMIN_TOKEN": "admin.token:", "CLUSTER_SECRET_KEY": "cluster.secret_key:"} {
		secrets := strong()
		secrets[name] = placeholders[name]
		out, err := gateway(t, base, secrets, "-check", path).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), ": error: "+fault) {
			t.Errorf("with the placeholder of %s: %v\n%s", name, err, out)
		}
	}
	production := build(t, "production")
	if out, err := gateway(t, production, strong(), "-check", write(t, production.text(t))).CombinedOutput(); err != nil {
		t.Errorf("the overlay: %v\n%s", err, out)
	}
}

// A gateway with the ConfigMap's file answers the probes, and Prometheus with the token alone.
func TestProbesAreAnswered(t *testing.T) {
	o := build(t, "base")
	cfg := o.config(t)
	data, admin, gossip := free(t), free(t), free(t)
	text := o.text(t)
	for from, to := range map[string]string{
		"port: " + port(cfg.Server.Port) + "\n": "port: " + data + "\n",
		"port: " + port(cfg.Admin.Port) + "\n":  "port: " + admin + "\n",
		`bind: "` + cfg.Cluster.Bind + `"`:      `bind: "127.0.0.1:` + gossip + `"`,
		`advertise: "${CLUSTER_ADVERTISE}"`:     `advertise: "127.0.0.1:` + gossip + `"`,
		`join: ["` + cfg.Cluster.Join[0] + `"]`: `join: []`,
		`addrs: ["${REDIS_ADDR:-}"]`:            `addrs: []`,
	} {
		if strings.Count(text, from) != 1 {
			t.Fatalf("config.yaml has %q not once", from)
		}
		text = strings.Replace(text, from, to, 1)
	}
	start(t, gateway(t, o, strong(), "-config", write(t, text)))
	_, c := o.pod(t)
	token := strong()["ADMIN_TOKEN"]
	waitFor(t, "http://127.0.0.1:"+data+c.StartupProbe.HTTPGet.Path)
	f := func(port, path, token string, want int) {
		t.Helper()
		if status, body := get(t, "http://127.0.0.1:"+port+path, token); status != want {
			t.Errorf("%s: %d, want %d\n%s", path, status, want, body)
		}
	}
	for _, probe := range []string{c.StartupProbe.HTTPGet.Path, c.LivenessProbe.HTTPGet.Path, c.ReadinessProbe.HTTPGet.Path} {
		f(data, probe, "", 200)
	}
	if c.LivenessProbe.HTTPGet.Path != "/health" || c.ReadinessProbe.HTTPGet.Path != "/ready" || c.ReadinessProbe.HTTPGet.Port.StrVal != "http" || c.LivenessProbe.HTTPGet.Port.StrVal != "http" {
		t.Errorf("probes %+v and %+v", c.LivenessProbe.HTTPGet, c.ReadinessProbe.HTTPGet)
	}
	f(data, "/metrics", "", 404)
	f(data, "/docs", "", 404)
	f(admin, "/metrics", "", 401)
	f(admin, "/metrics", token, 200)
	f(admin, "/cluster", token, 200)
}

// start runs cmd until the test ends.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// waitFor asks until there is an answer.
func waitFor(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not answer in 20 s", url)
}

func get(t *testing.T, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// free is a port nobody has at the moment.
func free(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, p, _ := net.SplitHostPort(ln.Addr().String())
	return p
}
