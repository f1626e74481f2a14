package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// peer is one proxy that is measured.
type peer struct {
	name   string
	binary string // on PATH; empty: it is built here
	// args returns the command that listens on addr and forwards to the upstream.
	args  func(ctx context.Context, s *stage, addr string) ([]string, error)
	token bool // the load carries one

	addr string
	pid  int
}

const (
	nameNginx = "nginx, bare proxy_pass"
	nameFull  = "gateway, everything on"
	nameOther = "the other gateway, everything on"
)

func peers(against string) []*peer {
	all := []*peer{
		{name: nameNginx, binary: "nginx", args: nginxProxy},
		{name: "haproxy, bare", binary: "haproxy", args: haproxy},
		{name: "fasthttp, bare proxy loop", args: loop},
		{name: "gateway, bare", args: gateway(bareConfig, "")},
		full(),
		{name: "caddy, bare", binary: "caddy", args: caddy},
		{name: "traefik, bare", binary: "traefik", args: traefik},
	}
	if against != "" {
		all = append(all, &peer{name: nameOther, args: gateway(otherConfig, against), token: true})
	}
	return all
}

func full() *peer { return &peer{name: nameFull, args: gateway(fullConfig, ""), token: true} }

func write(dir, name, text string) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

func nginxArgs(dir, name, listen, upstream, location string) ([]string, error) {
	pool := ""
	if upstream != "" {
		pool = "upstream up { server " + upstream + "; keepalive 128; keepalive_requests 1000000; }"
	}
	path, err := write(dir, name+".conf", fmt.Sprintf(`
worker_processes 1; daemon off; master_process off; pid %[1]s/%[2]s.pid; error_log %[1]s/%[2]s.log crit;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000;
  client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3; uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
  %[3]s
  server { listen %[4]s; %[5]s }
}`, dir, name, pool, listen, location))
	return []string{"-c", path, "-p", dir}, err
}

func nginxProxy(_ context.Context, s *stage, addr string) ([]string, error) {
	args, err := nginxArgs(s.dir, "bare", addr, s.upstream,
		`location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }`)
	return append([]string{"nginx"}, args...), err
}

func haproxy(_ context.Context, s *stage, addr string) ([]string, error) {
	path, err := write(s.dir, "haproxy.cfg", `
global
  nbthread 1
  maxconn 1000
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  http-reuse always
frontend in
  bind `+addr+`
  default_backend up
backend up
  server one `+s.upstream+`
`)
	return []string{"haproxy", "-db", "-f", path}, err
}

func caddy(_ context.Context, s *stage, addr string) ([]string, error) {
	path, err := write(s.dir, "Caddyfile", "{\n  admin off\n  auto_https off\n}\nhttp://"+addr+" {\n  reverse_proxy "+s.upstream+"\n}\n")
	return []string{"caddy", "run", "--adapter", "caddyfile", "--config", path}, err
}

func traefik(_ context.Context, s *stage, addr string) ([]string, error) {
	path, err := write(s.dir, "traefik.yaml", `
http:
  routers: {all: {rule: "PathPrefix(`+"`/`"+`)", service: up}}
  services: {up: {loadBalancer: {servers: [{url: "http://`+s.upstream+`"}]}}}
`)
	return []string{"traefik", "--entrypoints.web.address=" + addr, "--providers.file.filename=" + path, "--log.level=ERROR"}, err
}

func bareConfig(s *stage, host, port string) string {
	return fmt.Sprintf(`
server: {host: %q, port: %s}
admin: {port: 0}
log: {access: "off"}
routes: [{path: "/api/*", upstream: "http://%s"}]
`, host, port, s.upstream)
}

func fullConfig(s *stage, host, port string) string {
	_, admin, _ := strings.Cut(s.admin, ":")
	return fmt.Sprintf(`
server: {host: %q, port: %s}
admin: {port: %s}
redis: {addrs: [%q]}
otel: {endpoint: "127.0.0.1:1", sample_ratio: 0.01}
cors: {allow_origins: ["https://app.example"]}
jwt: {secret: "a-secret-for-this-benchmark-alone-32b"}
global_rate_limit: {rps: 100000, burst: 100000}
routes:
  - path: "/api/*"
    upstream: "http://%s"
    auth_required: true
    rate_limits: [{key_by: user, rps: 100000, burst: 100000}, {key_by: ip, rps: 100000, burst: 100000}]
    retry: {attempts: 2}
`, host, port, admin, s.redis, s.upstream)
}

// loop is the floor for what is built on the same library.
func loop(ctx context.Context, s *stage, addr string) ([]string, error) {
	binary, err := s.build(ctx, "./tests/load/peers/loop")
	return []string{binary, addr, s.upstream}, err
}

// otherConfig is fullConfig beside a gateway that has the admin port.
func otherConfig(s *stage, host, port string) string {
	beside := stage{upstream: s.upstream, redis: s.redis, admin: ":0"}
	return fullConfig(&beside, host, port)
}

// gateway builds the binary, unless there is one, and makes a token for the load.
func gateway(config func(s *stage, host, port string) string, binary string) func(context.Context, *stage, string) ([]string, error) {
	return func(ctx context.Context, s *stage, addr string) (args []string, err error) {
		if binary == "" {
			if binary, err = s.build(ctx, "./cmd/gateway"); err != nil {
				return nil, err
			}
		}
		host, port, _ := strings.Cut(addr, ":")
		path, err := write(s.dir, "gateway-"+port+".yaml", config(s, host, port))
		if err != nil {
			return nil, err
		}
		token, err := exec.CommandContext(ctx, binary, "-config", path, "-token", "bench").Output()
		if err == nil {
			s.token = strings.TrimSpace(string(token))
		}
		return []string{binary, "-config", path}, nil
	}
}
