package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// front is a real nginx before the nodes.
type front struct {
	tb   testing.TB
	addr string
	dir  string
	cmd  *exec.Cmd
}

// newFront serves until the test ends.
func newFront(tb testing.TB, addr string, nodes []string) *front {
	tb.Helper()
	f := &front{tb: tb, addr: addr, dir: tb.TempDir()}
	f.write(nodes)
	f.cmd = exec.Command("nginx", "-p", f.dir, "-e", filepath.Join(f.dir, "error.log"), "-c", filepath.Join(f.dir, "nginx.conf"), "-g", "daemon off;")
	if err := f.cmd.Start(); err != nil {
		tb.Fatalf("cannot start nginx: %v", err)
	}
	tb.Cleanup(func() {
		_ = f.cmd.Process.Signal(syscall.SIGTERM)
		_ = f.cmd.Wait() // terminated: an error by design
	})
	harness.Eventually(tb, 10*time.Second, "nginx answers", func() bool { return answers("http://" + addr + "/nginx-health") })
	return f
}

// follow has nginx send to other nodes from now on, as its list is followed in a
// deployment.
func (f *front) follow(nodes []string) {
	f.tb.Helper()
	f.write(nodes)
	if err := f.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		f.tb.Errorf("cannot have nginx read its list again: %v", err)
	}
}

func (f *front) write(nodes []string) {
	f.tb.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, "nginx.conf"), []byte(f.conf(nodes)), 0o600); err != nil {
		f.tb.Fatal(err)
	}
}

// conf has what deploy/nginx says about requests: the next node if one is gone,
// nothing sent twice that must not be.
func (f *front) conf(nodes []string) string {
	servers := "server " + strings.Join(nodes, " max_fails=1 fail_timeout=1s; server ") + " max_fails=1 fail_timeout=1s;"
	return fmt.Sprintf(`worker_processes 1;
worker_rlimit_nofile 16384;
pid %[1]s/nginx.pid;
events { worker_connections 8000; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  keepalive_requests 100000;
  upstream gateways { %[3]s keepalive 64; }
  server {
    listen %[2]s backlog=4096;
    location = /nginx-health { return 200; }
    location / {
      proxy_pass http://gateways;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_request_buffering off;
      proxy_buffering off;
      proxy_next_upstream error timeout;
      proxy_next_upstream_tries 3;
      proxy_next_upstream_timeout 5s;
      proxy_connect_timeout 1s;
      proxy_read_timeout 120s;
    }
  }
}
`, f.dir, f.addr, servers)
}
