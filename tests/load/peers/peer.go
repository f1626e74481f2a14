package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-api-gateway-pro/gateway/tests/load/stage"
)

// peer is one proxy that is measured.
type peer struct {
	name   string
	binary string // on PATH; empty: it is built here
	// args returns the command that listens on addr and forwards to the upstream.
	args  func(ctx context.Context, s *set, addr string) ([]string, error)
	token bool // the load carries one

	addr string
	pid  int
}

const (
	nameNginx   = "nginx, bare proxy_pass"
	nameFull    = "gateway, everything on"
	nameOther   = "the other gateway, everything on"
	nameNaive   = "naive gateway, three limits in turn"
	nameLimited = "traefik, one limit in Redis"
)

func peers(against string) []*peer {
	all := []*peer{
		{name: nameNginx, binary: "nginx", args: nginxProxy},
		{name: "haproxy, bare", binary: "haproxy", args: haproxy},
		{name: "fasthttp, bare proxy loop", args: loop},
		{name: "gateway, bare", args: gateway(bareConfig, "")},
		full(),
		{name: nameNaive, args: naive, token: true},
		{name: "caddy, bare", binary: "caddy", args: caddy},
		{name: "traefik, bare", binary: "traefik", args: traefik(false)},
		{name: nameLimited, binary: "traefik", args: traefik(true)},
	}
	if against != "" {
		all = append(all, &peer{name: nameOther, args: gateway(otherConfig, against), token: true})
	}
	return all
}

func full() *peer { return &peer{name: nameFull, args: gateway(fullConfig, ""), token: true} }

func nginxProxy(_ context.Context, s *set, addr string) ([]string, error) {
	return s.NginxProxy(addr)
}

func haproxy(_ context.Context, s *set, addr string) ([]string, error) {
	path, err := s.Write("haproxy.cfg", `
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
  server one `+s.Upstream+`
`)
	return []string{"haproxy", "-db", "-f", path}, err
}

func caddy(_ context.Context, s *set, addr string) ([]string, error) {
	path, err := s.Write("Caddyfile", "{\n  admin off\n  auto_https off\n}\nhttp://"+addr+" {\n  reverse_proxy "+s.Upstream+"\n}\n")
	return []string{"caddy", "run", "--adapter", "caddyfile", "--config", path}, err
}

// traefik's route has a limit, or nothing.
func traefik(limited bool) func(context.Context, *set, string) ([]string, error) {
	return func(_ context.Context, s *set, addr string) ([]string, error) {
		name, text := "traefik-bare.yaml", `
http:
  routers: {all: {rule: "PathPrefix(`+"`/`"+`)", service: up}}
  services: {up: {loadBalancer: {servers: [{url: "http://`+s.Upstream+`"}]}}}
`
		if limited {
			name = "traefik-limited.yaml"
			text = strings.Replace(text, "service: up}", "service: up, middlewares: [limit]}", 1) +
				`  middlewares: {limit: {rateLimit: {average: 100000, burst: 100000, redis: {endpoints: ["` + s.Redis + `"]}}}}` + "\n"
		}
		path, err := s.Write(name, text)
		return []string{"traefik", "--entrypoints.web.address=" + addr, "--providers.file.filename=" + path, "--log.level=ERROR"}, err
	}
}

// secret signs the load's token.
const secret = "a-secret-for-this-benchmark-alone-32b"

func bareConfig(s *set, host, port string) string {
	return fmt.Sprintf(`
server: {host: %q, port: %s}
admin: {port: 0}
log: {access: "off"}
routes: [{path: "/api/*", upstream: "http://%s"}]
`, host, port, s.Upstream)
}

func fullConfig(s *set, host, port string) string {
	_, admin, _ := strings.Cut(s.admin, ":")
	return fmt.Sprintf(`
server: {host: %q, port: %s}
admin: {port: %s}
redis: {addrs: [%q]}
otel: {endpoint: "127.0.0.1:1", sample_ratio: 0.01}
cors: {allow_origins: ["https://app.example"]}
jwt: {secret: "`+secret+`"}
global_rate_limit: {rps: 100000, burst: 100000}
routes:
  - path: "/api/*"
    upstream: "http://%s"
    auth_required: true
    rate_limits: [{key_by: user, rps: 100000, burst: 100000}, {key_by: ip, rps: 100000, burst: 100000}]
    retry: {attempts: 2}
`, host, port, admin, s.Redis, s.Upstream)
}

// loop is the floor for what is built on the same library.
func loop(ctx context.Context, s *set, addr string) ([]string, error) {
	binary, err := s.Build(ctx, "./tests/load/peers/loop")
	return []string{binary, addr, s.Upstream}, err
}

// naive is what the same libraries do when nothing is remembered or batched.
func naive(ctx context.Context, s *set, addr string) ([]string, error) {
	binary, err := s.Build(ctx, "./tests/load/peers/naive")
	return []string{binary, addr, s.Upstream, s.Redis, secret}, err
}

// otherConfig is fullConfig beside a gateway that has the admin port.
func otherConfig(s *set, host, port string) string {
	return fullConfig(&set{Stage: s.Stage, admin: ":0"}, host, port)
}

// gateway also makes a token for the load. Another binary takes the place of the
// one that is built here.
func gateway(config func(s *set, host, port string) string, binary string) func(context.Context, *set, string) ([]string, error) {
	return func(ctx context.Context, s *set, addr string) ([]string, error) {
		host, port, _ := strings.Cut(addr, ":")
		command, err := s.Gateway(ctx, "gateway-"+port, config(s, host, port))
		if err != nil {
			return nil, err
		}
		if binary != "" {
			command[0] = binary
		}
		token, err := stage.Token(ctx, command)
		if err == nil {
			s.token = token
		}
		return command, nil
	}
}
