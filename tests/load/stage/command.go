package stage

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Write writes a file of the stage and returns its path.
func (s *Stage) Write(name, text string) (string, error) {
	path := filepath.Join(s.Dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// Nginx returns the command of an nginx of one worker. With an upstream its location
// may name the pool "up".
func (s *Stage) Nginx(name, listen, upstream, location string) ([]string, error) {
	pool := ""
	if upstream != "" {
		pool = "upstream up { server " + upstream + "; keepalive 128; keepalive_requests 1000000; }"
	}
	path, err := s.Write(name+".conf", fmt.Sprintf(`
worker_processes 1; daemon off; master_process off; pid %[1]s/%[2]s.pid; error_log %[1]s/%[2]s.log crit;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000;
  client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3; uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
  %[3]s
  server { listen %[4]s; %[5]s }
}`, s.Dir, name, pool, listen, location))
	return []string{"nginx", "-c", path, "-p", s.Dir}, err
}

// NginxProxy returns the command of an nginx that forwards to the upstream and does
// nothing else.
func (s *Stage) NginxProxy(listen string) ([]string, error) {
	return s.Nginx("bare", listen, s.Upstream,
		`location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }`)
}

// Gateway returns the command of a gateway with this configuration.
func (s *Stage) Gateway(ctx context.Context, name, config string) ([]string, error) {
	binary, err := s.Build(ctx, "./cmd/gateway")
	if err != nil {
		return nil, err
	}
	path, err := s.Write(name+".yaml", config)
	return []string{binary, "-config", path}, err
}

// Build makes a command of this module, once, as a release is made.
func (s *Stage) Build(ctx context.Context, pkg string) (binary string, err error) {
	binary = filepath.Join(s.Dir, filepath.Base(pkg))
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "nethttpomithttp2", "-ldflags", "-s -w", "-o", binary, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build: %w: %s", err, out)
	}
	return binary, nil
}

// Token returns a token that the gateway of this command accepts.
func Token(ctx context.Context, gateway []string) (string, error) {
	out, err := exec.CommandContext(ctx, gateway[0], append(gateway[1:], "-token", "bench")...).Output()
	return strings.TrimSpace(string(out)), err
}
