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

// front is an nginx before the nodes, set up as deploy/nginx/default.conf is: one
// connection a request, the next node where one is gone, no status sent again, a
// POST only if nothing of it was sent. Names that Docker would resolve are a list
// here, in which no node is ever set aside.
type front struct {
	addr string
	tb   testing.TB
	dir  string
	cmd  *exec.Cmd
}

const frontLimit = 10 * time.Second // to start

// newFront runs nginx until the test ends.
func newFront(tb testing.TB, addr string, nodes []string) *front {
	tb.Helper()
	f := &front{addr: addr, tb: tb, dir: tb.TempDir()}
	f.write(nodes)
	f.cmd = exec.Command("nginx", "-p", f.dir, "-c", "nginx.conf", "-e", filepath.Join(f.dir, "error.log"))
	if err := f.cmd.Start(); err != nil {
		tb.Fatalf("cannot start nginx: %v", err)
	}
	tb.Cleanup(func() {
		_ = f.cmd.Process.Signal(syscall.SIGTERM) // its workers go with it
		_ = f.cmd.Wait()
		if text, err := os.ReadFile(filepath.Join(f.dir, "error.log")); tb.Failed() && err == nil {
			tb.Logf("the end of nginx's log:\n%s", text[max(0, len(text)-3000):])
		}
	})
	harness.Eventually(tb, frontLimit, "nginx listens on "+addr, func() bool { return listening(addr) })
	return f
}

// list gives nginx another list of nodes, without losing a connection.
func (f *front) list(nodes []string) {
	f.tb.Helper()
	f.write(nodes)
	if err := f.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		f.tb.Fatalf("cannot reload nginx: %v", err)
	}
}

func (f *front) write(nodes []string) {
	f.tb.Helper()
	var servers strings.Builder
	for _, n := range nodes {
		fmt.Fprintf(&servers, "server %s max_fails=0; ", n)
	}
	text := fmt.Sprintf(frontConfig, servers.String(), f.addr)
	if err := os.WriteFile(filepath.Join(f.dir, "nginx.conf"), []byte(text), 0o600); err != nil {
		f.tb.Fatal(err)
	}
}

const frontConfig = `
worker_processes 1; daemon off; pid nginx.pid; error_log error.log warn; worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  upstream gateway { %s}
  server {
    listen %s backlog=4096;
    client_max_body_size 0; proxy_request_buffering off; proxy_buffering off;
    location / {
      proxy_pass http://gateway;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header Connection close;
      proxy_next_upstream error timeout;
      proxy_next_upstream_tries 3;
      proxy_next_upstream_timeout 5s;
      proxy_connect_timeout 1s;
      proxy_send_timeout 120s;
      proxy_read_timeout 120s;
      add_header X-Asked $upstream_addr always;
    }
  }
}
`
